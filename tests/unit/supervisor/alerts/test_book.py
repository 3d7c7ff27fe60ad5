"""What is kept of alerts, also while the database is away and over a restart."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from perene.core.alerts import SERVICE, Alert
from perene.core.errors import StorageUnavailable
from perene.supervisor.alerts.tellings import NotTold
from tests.unit.supervisor.alerts.desk import (
    DATABASE,
    HOT,
    Desk,
    Receiver,
)


async def test_the_history_holds_open_and_resolved_alerts(desk: Desk):
    await desk.look(one=11)
    await desk.look(one=5, two=11)
    assert [alert.subject for alert in await desk.alerts()] == ["two", "one"]
    assert [alert.subject for alert in await desk.alerts(open_only=True)] == ["two"]
    assert [alert.subject for alert in await desk.alerts(session="one")] == ["one"]
    first, second = desk.shelf.alerts.values()
    assert first.resolved_at is not None
    assert [one.ok for one in first.notified] == [True, True]
    assert second.resolved_at is None


async def test_many_alerts_are_stored_in_few_transactions(desk: Desk, pager: Receiver):
    await desk.look(**{f"s{number}": 11.0 for number in range(1000)})
    assert len(desk.shelf.alerts) == 1000
    assert all(alert.notified for alert in desk.shelf.alerts.values())
    assert desk.shelf.transactions <= 20


async def test_an_outage_of_the_database_is_told_at_once_and_stored_later(
    desk: Desk, pager: Receiver
):
    await desk.look(service=5)
    desk.shelf.failing = True
    await desk.look(service=11)
    assert pager.told == [([SERVICE], True)]
    assert [alert.rule for alert in await desk.alerts(open_only=True)] == ["database"]
    assert desk.shelf.alerts == {}
    desk.shelf.failing = False
    await desk.look(service=5)
    assert pager.told == [([SERVICE], True), ([SERVICE], False)]
    (stored,) = desk.shelf.alerts.values()
    assert stored.resolved_at is not None
    assert [one.ok for one in stored.notified] == [True, True]


async def test_a_database_that_is_down_from_the_start_is_told_too(desk: Desk, pager: Receiver):
    desk.shelf.failing = True
    await desk.look(service=11)
    assert pager.told == [([SERVICE], True)]
    desk.shelf.failing = False
    await desk.look(service=11)
    assert len(desk.shelf.alerts) == 1
    assert pager.told == [([SERVICE], True)]


async def test_what_must_last_to_be_told_is_told_too_of_a_database_that_is_down_from_the_start(
    pager: Receiver,
):
    desk = Desk(pager, rules=[replace(DATABASE, for_s=20)])
    desk.shelf.failing = True
    for told in (0, 0, 1, 1):
        await desk.look(10, service=11)
        assert len(pager.told) == told


async def test_a_database_that_does_not_answer_from_the_start_is_told_too(
    desk: Desk, pager: Receiver, monkeypatch: pytest.MonkeyPatch
):
    async def silence(**_: object) -> list[Alert]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr("perene.supervisor.alerts.book._SAVE_TIMEOUT_S", 0.001)
    monkeypatch.setattr(desk.shelf, "open_alerts", silence)
    await desk.look(service=11)
    assert pager.told == [([SERVICE], True)]


async def test_the_history_holds_what_has_resolved_and_could_not_be_stored_yet(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    async def refuse(found: Sequence[Alert]) -> int:
        raise StorageUnavailable("gone")

    await desk.look()
    monkeypatch.setattr(desk.shelf, "save_alerts", refuse)
    await desk.look(one=11)
    await desk.look(one=5)
    assert [alert.resolved_at for alert in await desk.alerts()] == [desk.clock.now()]
    assert await desk.alerts(open_only=True) == []


async def test_an_alert_that_was_open_is_not_told_again_after_a_restart(desk: Desk):
    await desk.look(one=11)
    pager = Receiver()
    later = Desk(pager, shelf=desk.shelf)
    await later.look()
    await later.look(one=11)
    assert pager.told == []
    assert len(await later.alerts(open_only=True)) == 1
    await later.look(one=5)
    assert pager.told == [(["one"], False)]
    assert len(later.shelf.alerts) == 1


async def test_an_open_alert_that_nobody_was_told_of_is_told_after_a_restart(
    desk: Desk, pager: Receiver
):
    pager.failing = NotTold("down")
    await desk.look(one=11)
    later = Desk(Receiver(), shelf=desk.shelf)
    await later.look(one=11)
    assert later.receivers[0].told == [(["one"], True)]


async def test_whoever_knows_of_an_alert_is_told_after_a_restart_that_it_has_resolved():
    knows, knows_not, knows_all = Receiver("knows"), Receiver("knows not"), Receiver("knows all")
    desk = Desk(knows, knows_not, knows_all)
    knows_not.failing = NotTold("no route")
    await desk.look(one=11)
    knows.failing = NotTold("no route")
    await desk.look(one=5)
    later = Desk(Receiver("knows"), Receiver("knows not"), Receiver("knows all"), shelf=desk.shelf)
    for _ in range(2):
        await later.look(one=5)
    assert [one.told for one in later.receivers] == [[(["one"], False)], [], []]
    latest = Desk(Receiver("knows"), shelf=desk.shelf)
    await latest.look(one=5)
    assert latest.receivers[0].told == []


async def test_a_clock_that_was_set_back_keeps_from_nobody_that_an_alert_has_resolved():
    knows = Receiver("knows")
    desk = Desk(knows)
    await desk.look(one=11)
    knows.failing = NotTold("no route")
    desk.clock.jump(-3600)
    await desk.look(one=5)
    later = Desk(Receiver("knows"), shelf=desk.shelf)
    for _ in range(2):
        await later.look(one=5)
    assert later.receivers[0].told == [(["one"], False)]


async def test_open_alerts_are_listed_before_the_service_has_taken_them_up(desk: Desk):
    await desk.look(one=11)
    later = Desk(shelf=desk.shelf)
    assert [alert.subject for alert in await later.alerts(open_only=True)] == ["one"]


async def test_what_fired_before_the_older_alert_could_be_read_is_the_older_alert(desk: Desk):
    await desk.look(service=11)
    (old,) = desk.shelf.alerts.values()
    later = Desk(Receiver(), shelf=desk.shelf)
    later.shelf.failing = True
    await later.look(100, service=11)
    later.shelf.failing = False
    await later.look(service=11)
    assert [alert.id for alert in await later.alerts()] == [old.id]
    await later.look(service=5)
    assert [alert.id for alert in later.shelf.alerts.values()] == [old.id]
    assert await later.alerts(open_only=True) == []


async def test_a_service_that_ends_tells_of_itself_and_leaves_its_sessions_alerts_open(
    desk: Desk, pager: Receiver
):
    await desk.look(one=11, service=11)
    desk.alerting.leave_sessions()
    await desk.look(two=11, service=5)
    assert sorted(pager.told[2:]) == [([SERVICE], False)]
    assert [alert.subject for alert in await desk.alerts(open_only=True)] == ["one"]


SLOW = replace(HOT, for_s=60)


async def test_since_when_a_condition_holds_is_kept_for_the_next_run():
    desk = Desk(rules=[SLOW])
    await desk.look(one=11)
    began_at = desk.clock.now()
    await desk.look(one=11)
    later = Desk(Receiver(), shelf=desk.shelf, rules=[SLOW])
    await later.look(100, one=11)
    await later.look(60, one=11)
    (alert,) = await later.alerts()
    assert alert.began_at == began_at
    assert desk.shelf.conditions == {}, "from now on the alert says it"


async def test_conditions_are_stored_only_when_they_change():
    desk = Desk(rules=[SLOW])
    for _ in range(3):
        await desk.look(one=11)
    assert desk.shelf.transactions == 1


async def test_a_database_that_is_down_from_the_start_forgets_no_condition():
    desk = Desk(rules=[SLOW])
    await desk.look(one=11, two=11)
    began_at = desk.clock.now()
    later = Desk(shelf=desk.shelf, rules=[SLOW])
    desk.shelf.failing = True
    await later.look(100, one=11)
    assert len(desk.shelf.conditions) == 2
    desk.shelf.failing = False
    for _ in range(7):
        await later.look(one=11)
    (alert,) = await later.alerts()
    assert (alert.subject, alert.began_at) == ("one", began_at)


async def test_what_fired_before_its_condition_could_be_read_fires_once_and_resolves(
    pager: Receiver,
):
    desk = Desk(rules=[SLOW])
    await desk.look(one=11)
    later = Desk(pager, shelf=desk.shelf, rules=[SLOW])
    desk.shelf.failing = True
    await later.look(one=11)
    await later.look(60, one=11)
    desk.shelf.failing = False
    await later.look(one=11)
    await later.look(one=5)
    assert pager.told == [(["one"], True), (["one"], False)]
    assert await later.alerts(open_only=True) == []
