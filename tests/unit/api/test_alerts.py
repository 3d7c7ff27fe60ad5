"""Alerts as a client lists them."""

from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI

from perene.core.alerts import SERVICE, Alert, Notification, Severity
from perene.supervisor.ports import Tried
from tests.unit.api.fakes import NOW, Fakes

OPEN = Alert(
    id="a",
    rule="session_down",
    subject="shop",
    severity=Severity.WARNING,
    sentence="Not connected.",
    value=301,
    began_at=NOW,
    fired_at=NOW,
    notified=(Notification(at=NOW, ok=False, detail="address 1: no answer"),),
)
RESOLVED = replace(OPEN, id="b", subject=SERVICE, resolved_at=NOW, notified=())


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", ["a"]),
        ("?state=open", ["a"]),
        ("?state=all", ["a", "b"]),
        ("?state=all&limit=1", ["a"]),
        ("?session=other", []),
        ("?session=shop", ["a"]),
    ],
)
async def test_alerts_are_listed(
    client: httpx.AsyncClient, fakes: Fakes, query: str, ids: list[str]
):
    fakes.alerts.stored = [OPEN, RESOLVED]
    answer = await client.get(f"/v1/alerts{query}")
    assert answer.status_code == 200
    assert [item["id"] for item in answer.json()["items"]] == ids


async def test_an_alert_shows_what_is_wrong_and_who_was_told(
    client: httpx.AsyncClient, fakes: Fakes
):
    fakes.alerts.stored = [OPEN, RESOLVED]
    shown, resolved = (await client.get("/v1/alerts?state=all")).json()["items"]
    assert shown["session"] == "shop"
    assert shown["resolved_at"] is None
    assert shown["notified"][0]["detail"] == "address 1: no answer"
    assert resolved["session"] is None


@pytest.mark.parametrize("query", ["?state=closed", "?limit=0", "?session=A%20B"])
async def test_a_wrong_question_is_refused(client: httpx.AsyncClient, query: str):
    assert (await client.get(f"/v1/alerts{query}")).status_code == 422


TOOK = Tried(receiver="address 1", address="JSON json://127.0.0.1/…", took_s=0.1, failure=None)
TOOK_NOT = replace(TOOK, receiver="address 2", failure="its host answered HTTP 500")


async def test_a_test_tells_of_each_receiver_what_became_of_it(
    client: httpx.AsyncClient, fakes: Fakes
):
    fakes.trial.outcome = [TOOK, TOOK_NOT]
    answer = await client.post("/v1/alerts/test")
    assert answer.status_code == 200
    took, took_not = answer.json()["items"]
    assert took == {
        "receiver": "address 1",
        "address": "JSON json://127.0.0.1/…",
        "delivered": True,
        "failure": None,
        "took_s": 0.1,
    }
    assert (took_not["delivered"], took_not["failure"]) == (False, "its host answered HTTP 500")


async def test_a_second_test_meanwhile_is_refused(client: httpx.AsyncClient, fakes: Fakes):
    fakes.trial.under_way = True
    answer = await client.post("/v1/alerts/test")
    assert (answer.status_code, answer.json()["code"]) == (409, "alert_test_under_way")


async def test_nothing_is_sent_to_who_has_no_key(app: FastAPI, fakes: Fakes):
    fakes.trial.under_way = True  # whoever gets so far is told this
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://perene") as stranger:
        assert (await stranger.post("/v1/alerts/test")).status_code == 401
