"""Outages over HTTP, and what a person can do about one."""

from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from perene.core.account import Ban
from perene.core.account_codes import BAN_MEANINGS
from perene.core.causes import Cause
from perene.core.ids import SessionId
from perene.core.machines.outlook import Outlook
from perene.core.sessions import Connection
from tests.unit.api.fakes import NOW, Fakes


async def test_an_outage_is_shown_with_all_that_is_known_of_it(
    client: httpx.AsyncClient, fakes: Fakes
):
    fakes.gateway.add("one")
    fakes.gateway.lose("one")
    assert (await client.get("/v1/sessions/one/outages")).json() == {
        "items": [
            {
                "id": "outage0",
                "began_at": "2026-05-01T12:00:00Z",
                "cause": "dns",
                "kind": "local",
                "code": "dns",
                "sentence": "",
                "attributes": {"reason": "***"},
                "attempts": 2,
                "last_attempt_at": None,
                "last_cause": "dns",
                "last_code": "dns",
                "losses": [
                    {
                        "cause": "dns",
                        "kind": "local",
                        "code": "dns",
                        "attributes": {"reason": "***"},
                        "times": 1,
                        "first_at": "2026-05-01T12:00:00Z",
                        "last_at": "2026-05-01T12:00:00Z",
                    }
                ],
                "retry_at": "2026-05-01T12:00:05Z",
                "ended_at": None,
                "end": None,
            }
        ],
        "next_cursor": None,
    }


async def test_outages_come_in_pages_newest_first(client: httpx.AsyncClient, fakes: Fakes):
    fakes.gateway.add("one")
    for _ in range(3):
        fakes.gateway.lose("one")
    first = (await client.get("/v1/sessions/one/outages", params={"limit": 2})).json()
    second = (
        await client.get("/v1/sessions/one/outages", params={"cursor": first["next_cursor"]})
    ).json()
    found = [item["id"] for item in first["items"] + second["items"]]
    assert found == ["outage2", "outage1", "outage0"]


async def test_a_cursor_of_something_else_is_refused(client: httpx.AsyncClient, fakes: Fakes):
    fakes.gateway.add("one")
    response = await client.get("/v1/sessions/one/outages", params={"cursor": "other"})
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "cursor")


@pytest.mark.parametrize(
    ("method", "what"), [("GET", "outages"), ("POST", "restart"), ("POST", "logout")]
)
async def test_a_session_that_does_not_exist_is_not_found(
    client: httpx.AsyncClient, method: str, what: str
):
    response = await client.request(method, f"/v1/sessions/nobody/{what}")
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_a_restart_wants_the_session_running(client: httpx.AsyncClient, fakes: Fakes):
    fakes.gateway.add("one", running=False)
    response = await client.post("/v1/sessions/one/restart")
    assert (response.status_code, response.json()["desired"]) == (200, "running")


async def test_a_logout_leaves_a_session_that_is_stopped_and_not_linked(
    client: httpx.AsyncClient, fakes: Fakes
):
    fakes.gateway.add("one")
    body = (await client.post("/v1/sessions/one/logout")).json()
    assert (body["desired"], body["paired"], body["phone"]) == ("stopped", False, None)


async def test_a_session_that_is_down_says_why_and_what_comes_next(
    client: httpx.AsyncClient, fakes: Fakes
):
    view = fakes.gateway.add("one")
    fakes.gateway.sessions[SessionId("one")] = replace(
        view,
        connection=Connection.WAITING,
        alive_at=NOW,
        outlook=Outlook(
            cause=Cause.TEMPORARY_BAN,
            attempt=2,
            limit=30,
            retry_at=NOW + timedelta(hours=1),
            outage_began_at=NOW,
            ban=Ban(code="101", until=NOW + timedelta(hours=1)),
        ),
    )
    body = (await client.get("/v1/sessions/one")).json()
    assert (body["cause"], body["attempt"], body["limit"]) == ("temporary_ban", 2, 30)
    assert body["retry_at"] == "2026-05-01T13:00:00Z"
    assert body["alive_at"] == body["outage_began_at"] == "2026-05-01T12:00:00Z"
    assert body["ban"] == {
        "code": "101",
        "meaning": BAN_MEANINGS["101"],
        "until": "2026-05-01T13:00:00Z",
    }


async def test_a_device_with_keys_that_was_never_linked_is_not_paired(
    client: httpx.AsyncClient, fakes: Fakes
):
    view = fakes.gateway.add("one")
    record = replace(view.record, pn=None)
    fakes.gateway.sessions[SessionId("one")] = replace(view, record=record)
    assert (await client.get("/v1/sessions/one")).json()["paired"] is False
