"""The life of the alert engine, and how it is."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from structlog.testing import capture_logs

from perene.core.alerts import Alert
from perene.core.errors import StorageUnavailable
from perene.supervisor.alerts.alerting import Alerting
from perene.supervisor.alerts.tellings import NotTold
from tests.support.turns import turns
from tests.unit.supervisor.alerts.desk import (
    HOT,
    Desk,
    Receiver,
)


async def test_it_looks_every_ten_seconds_and_a_bug_in_one_round_does_not_end_it(
    desk: Desk, pager: Receiver
):
    rounds: list[float] = []

    def signals() -> dict[str, dict[str, float]]:
        rounds.append(desk.clock.monotonic())
        if len(rounds) == 2:
            raise ZeroDivisionError
        return {"one": {"heat": 11.0}} if len(rounds) > 2 else {}

    alerting = Alerting(
        store=desk.shelf, notifiers=[pager], rules=[HOT], signals=signals, clock=desk.clock
    )
    running = asyncio.create_task(alerting.run())
    for _ in range(3):
        await desk.clock.until_asleep(10)
        await desk.clock.advance(10)
    await desk.clock.until_asleep(10)
    assert rounds == [0, 10, 20, 30]
    assert pager.told == [(["one"], True)]
    running.cancel()
    await asyncio.wait([running])


async def test_a_database_that_is_slow_to_take_an_alert_does_not_slow_the_looks(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    rounds: list[float] = []

    async def slow(found: Sequence[Alert]) -> int:
        await desk.clock.sleep(7)
        raise StorageUnavailable("gone")

    monkeypatch.setattr(desk.shelf, "save_alerts", slow)

    def signals() -> dict[str, dict[str, float]]:
        rounds.append(desk.clock.monotonic())
        return {"one": {"heat": 11.0}}

    alerting = Alerting(
        store=desk.shelf, notifiers=[], rules=[HOT], signals=signals, clock=desk.clock
    )
    running = asyncio.create_task(alerting.run())
    for _ in range(3):
        await desk.clock.until_asleep(7)
        await desk.clock.advance(7)
        await desk.clock.until_asleep(3)
        await desk.clock.advance(3)
    await desk.clock.until_asleep(7)
    assert rounds == [0, 10, 20, 30]
    running.cancel()
    await asyncio.wait([running])


async def test_open_alerts_are_counted_by_rule_and_severity(desk: Desk):
    await desk.look(one=11, two=11, service=11)
    assert desk.alerting.firing() == {("hot", "warning"): 2, ("database", "critical"): 1}
    await desk.look(one=5, two=11)
    assert desk.alerting.firing() == {("hot", "warning"): 1}


async def test_what_has_resolved_counts_as_open_no_more_though_it_cannot_be_stored(desk: Desk):
    await desk.look(two=11)
    desk.shelf.failing = True
    await desk.look(one=11, two=11)
    await desk.look(one=5, two=11)
    assert desk.alerting.firing() == {("hot", "warning"): 1}


async def test_a_second_look_waits_until_the_first_has_told_and_stored(
    desk: Desk, pager: Receiver, monkeypatch: pytest.MonkeyPatch
):
    await desk.look(one=11)
    asked, go_on, tell = asyncio.Event(), asyncio.Event(), pager.tell

    async def slow(alerts: Sequence[Alert], *, remedy: str, reasons: Mapping[str, str]) -> None:
        asked.set()
        await go_on.wait()
        await tell(alerts, remedy=remedy, reasons=reasons)

    monkeypatch.setattr(pager, "tell", slow)
    first = asyncio.create_task(desk.look(one=5))
    await asked.wait()
    second = asyncio.create_task(desk.alerting.look())
    await turns()
    assert not second.done()
    go_on.set()
    await asyncio.gather(first, second)
    assert pager.told == [(["one"], True), (["one"], False)]


async def test_an_engine_that_looks_and_tells_is_well(desk: Desk):
    await desk.look(one=11)
    health = desk.alerting.health()
    assert (health.ok, health.detail) == (True, "Open alerts: 1.")


async def test_an_engine_that_stopped_looking_is_not_well(desk: Desk):
    await desk.look()
    await desk.clock.advance(121)
    assert not desk.alerting.health().ok
    await desk.look()
    assert desk.alerting.health().ok


async def test_an_engine_whose_receiver_cannot_be_reached_is_not_well(desk: Desk, pager: Receiver):
    pager.failing = NotTold("no route")
    await desk.look(one=11)
    assert not desk.alerting.health().ok
    assert "not delivered yet: 1" in (desk.alerting.health().detail or "")
    pager.failing = None
    await desk.look(one=11)
    assert desk.alerting.health().ok


async def test_the_log_tells_of_each_alert_when_it_fires_and_when_it_resolves(desk: Desk):
    with capture_logs() as lines:
        await desk.look(one=11)
        await desk.look(one=5)
    told = [line for line in lines if line.get("rule") == "hot"]
    assert [(line["event"], line["log_level"]) for line in told] == [
        ("alert_fired", "warning"),
        ("alert_resolved", "info"),
    ]
    assert all(line["subject"] == "one" for line in told)
