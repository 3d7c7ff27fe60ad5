"""What an account may do, over HTTP."""

from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from perene.core.account import Ban, Limit
from perene.core.account_codes import (
    BAN_MEANINGS,
    LIMIT_MEANINGS,
    limit_meaning,
)
from perene.supervisor.ports import AccountView, ReachOutLimited
from tests.unit.api.fakes import NOW, Fakes

pytestmark = pytest.mark.requirement("F10")

URL = "/v1/sessions/one/account"
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def session(fakes: Fakes) -> None:
    fakes.gateway.add("one")


def limited() -> AccountView:
    return AccountView(
        limits=[Limit(code="463", at=NOW, until=NOW + DAY, count=2)],
        ban=Ban(code="102", until=NOW + 2 * DAY),
        new_chats_24h=7,
        allowance=10,
        pause_s=30.0,
        next_chat_at=NOW + DAY,
    )


async def test_an_account_without_limits_may_begin_a_chat_now(client: httpx.AsyncClient):
    body = (await client.get(URL)).json()
    assert (body["limits"], body["ban"], body["next_chat_at"]) == ([], None, None)
    assert (body["new_chats_24h"], body["allowance"]) == (0, None)


async def test_limits_and_bans_are_shown_with_what_they_mean(
    client: httpx.AsyncClient, fakes: Fakes
):
    fakes.accounts.view = limited()
    body = (await client.get(URL)).json()
    [limit] = body["limits"]
    assert (limit["code"], limit["meaning"]) == ("463", LIMIT_MEANINGS["463"])
    assert (limit["until"], limit["count"]) == ("2026-05-02T12:00:00Z", 2)
    assert body["ban"] == {
        "code": "102",
        "meaning": BAN_MEANINGS["102"],
        "until": "2026-05-03T12:00:00Z",
    }
    assert (body["new_chats_24h"], body["allowance"], body["pause_s"]) == (7, 10, 30.0)


async def test_a_lock_that_whatsapp_told_of_is_not_called_a_missing_token(
    client: httpx.AsyncClient, fakes: Fakes
):
    view = limited()
    fakes.accounts.view = replace(view, limits=[replace(view.limits[0], told=True)])
    [limit] = (await client.get(URL)).json()["limits"]
    assert limit["meaning"] == limit_meaning("463", told=True)


async def test_a_person_may_say_that_a_limit_is_over(client: httpx.AsyncClient, fakes: Fakes):
    fakes.accounts.view = limited()
    response = await client.delete(f"{URL}/limit")
    assert (response.status_code, response.json()["limits"]) == (200, [])


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_an_unknown_session_has_no_account(client: httpx.AsyncClient, method: str):
    path = "/v1/sessions/none/account" + ("/limit" if method == "DELETE" else "")
    assert (await client.request(method, path)).status_code == 404


async def test_a_new_chat_under_a_limit_is_429_and_says_when_to_come_back(
    client: httpx.AsyncClient, fakes: Fakes
):
    fakes.messages.refusal = ReachOutLimited("New chats wait.", retry_after_s=3600)
    response = await client.post(
        "/v1/sessions/one/messages", json={"to": "5511999990000", "text": "hello"}
    )
    assert (response.status_code, response.headers["Retry-After"]) == (429, "3600")
    body = response.json()
    assert (body["code"], body["detail"]) == ("reach_out_limited", "New chats wait.")
    assert body["remedy"] == ReachOutLimited.remedy
