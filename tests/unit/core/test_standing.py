"""What outlives a restart of the service, as it is stored."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from perene.core.account import Ban
from perene.core.causes import Cause
from perene.core.machines.inputs import Start
from perene.core.policy import Count
from perene.core.standing import Standing
from tests.support.endings import LOST
from tests.unit.core.machines.life import Life

NOW = datetime(2026, 11, 21, tzinfo=UTC)
FULL = Standing(
    counts={Count.NETWORK: 3},
    told=frozenset({Count.NETWORK}),
    not_before=NOW,
    barred_by=Cause.TEMPORARY_BAN,
    held=Cause.LOCKED,
    ban_code="101",
    ban_end_told=False,
    up=True,
    left_at=NOW - timedelta(minutes=1),
    phone_seen_at=NOW - timedelta(days=13),
    phone_absent_days=12,
)


def changed(**fields: object) -> str:
    return json.dumps({**json.loads(FULL.serialize()), **fields})


@pytest.mark.requirement("E8")
def test_what_is_stored_comes_back_whole() -> None:
    assert Standing.parse(FULL.serialize()) == FULL
    life = Life(Start(by_person=False))
    life.opened()
    life.lost(LOST)
    assert Standing.parse(life.state.standing.serialize()) == life.state.standing


@pytest.mark.parametrize("nothing", [None, ""])
def test_nothing_is_stored_of_a_session_that_nothing_happened_to(nothing: str | None) -> None:
    assert Standing().serialize() == ""
    assert Standing.parse(nothing) == Standing()


@pytest.mark.parametrize(
    "stored",
    [
        "{",
        "null",
        "[]",
        "{}",
        '{"version": 1}',
        changed(version=2),
        changed(counts=None),
        changed(counts={"network": None}),
        changed(counts={"of a newer version": 1}),
        changed(held="of a newer version"),
        changed(barred_by="of a newer version"),
        changed(not_before="yesterday"),
        changed(outage={}),
    ],
)
def test_what_cannot_be_read_costs_nothing_but_patience(stored: str) -> None:
    assert Standing.parse(stored) == Standing()


def test_what_an_earlier_version_did_not_store_is_not_known() -> None:
    kept = {"version": 1, "counts": {"network": 3}}
    assert Standing.parse(json.dumps(kept)) == Standing(counts={Count.NETWORK: 3})


def test_a_ban_that_is_over_leaves_nothing_of_itself() -> None:
    assert FULL.ban == Ban(code="101", until=None)
    over = FULL.without_ban()
    assert (over.ban, over.ban_code, over.ban_end_told) == (None, None, True)
