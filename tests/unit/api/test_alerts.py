"""Alerts as a client lists them."""

from dataclasses import replace

import httpx
import pytest

from perene.core.alerts import SERVICE, Alert, Notification, Severity
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
