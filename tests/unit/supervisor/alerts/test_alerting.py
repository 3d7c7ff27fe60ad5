"""The alert engine at work: who is told, what is kept, and what happens when either fails."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pytest
from structlog.testing import capture_logs

from perene.core.alerts import SERVICE, Alert, Rule, Scope, Severity
from perene.core.errors import StorageUnavailable
from perene.core.ids import SessionId
from perene.supervisor.alerts.alerting import Alerting
from perene.supervisor.alerts.tellings import NotTold
from tests.support.virtual_clock import VirtualClock

HOT = Rule(
    name="hot",
    scope=Scope.SESSION,
    signal="heat",
    above=10,
    for_s=0,
    resolve_after_s=0,
    severity=Severity.WARNING,
    sentence="It is hot.",
    remedy="Cool it.",
)
DATABASE = replace(HOT, name="database", scope=Scope.SERVICE, severity=Severity.CRITICAL)


class Receiver:
    """Takes alerts in order, or fails."""

    def __init__(self, name: str = "pager") -> None:
        self.name = name
        self.told: list[tuple[list[str], bool]] = []
        self.failing: BaseException | None = None
        self.remedies: list[str] = []
        self.tries = 0

    async def tell(self, alerts: Sequence[Alert], *, remedy: str) -> None:
        self.tries += 1
        if self.failing is not None:
            raise self.failing
        self.remedies.append(remedy)
        subjects = sorted(alert.subject for alert in alerts)
        self.told.append((subjects, alerts[0].resolved_at is None))


class Shelf:
    """A store of alerts in memory; can be out of reach."""

    def __init__(self) -> None:
        self.alerts: dict[str, Alert] = {}
        self.failing = False
        self.transactions = 0

    def _ask(self) -> None:
        if self.failing:
            raise StorageUnavailable("gone")

    async def open_alerts(self, *, or_resolved_since: datetime | None = None) -> Sequence[Alert]:
        self._ask()
        return [
            alert
            for alert in self.alerts.values()
            if alert.resolved_at is None
            or (or_resolved_since is not None and alert.resolved_at >= or_resolved_since)
        ]

    async def save_alerts(self, found: Sequence[Alert]) -> int:
        self._ask()
        self.transactions += 1
        self.alerts |= {alert.id: alert for alert in found}
        return len(found)

    async def list_alerts(
        self, *, open_only: bool, subject: str | None, limit: int
    ) -> Sequence[Alert]:
        self._ask()
        found = [
            alert
            for alert in self.alerts.values()
            if subject in (None, alert.subject) and not (open_only and alert.resolved_at)
        ]
        return sorted(found, key=lambda alert: alert.fired_at, reverse=True)[:limit]


class Desk:
    """An engine with everything around it."""

    def __init__(self, *receivers: Receiver, shelf: Shelf | None = None) -> None:
        self.clock = VirtualClock()
        self.shelf = shelf or Shelf()
        self.receivers = receivers
        self.signals: dict[str, dict[str, float]] = {}
        self.alerting = Alerting(
            store=self.shelf,
            notifiers=receivers,
            rules=(HOT, DATABASE),
            signals=lambda: self.signals,
            clock=self.clock,
        )

    async def look(self, after_s: float = 10, **heat: float) -> None:
        await self.clock.advance(after_s)
        self.signals = {
            SERVICE if subject == "service" else subject: {"heat": value}
            for subject, value in heat.items()
        }
        await self.alerting.look()

    async def alerts(self, *, open_only: bool = False, session: str | None = None) -> list[Alert]:
        wanted = None if session is None else SessionId(session)
        return list(await self.alerting.alerts(open_only=open_only, session=wanted, limit=100))


@pytest.fixture
def pager() -> Receiver:
    return Receiver()


@pytest.fixture
def desk(pager: Receiver) -> Desk:
    return Desk(pager)


# --- telling --------------------------------------------------------------------------------------


async def test_an_alert_is_told_once_when_it_fires_and_once_when_it_resolves(
    desk: Desk, pager: Receiver
):
    for heat in (5, 11, 12, 13, 5, 5):
        await desk.look(one=heat)
    assert pager.told == [(["one"], True), (["one"], False)]
    assert pager.remedies == ["Cool it.", "Cool it."]


async def test_alerts_of_one_rule_go_out_in_one_message(desk: Desk, pager: Receiver):
    await desk.look(one=11, two=11, three=5, service=11)
    assert sorted(pager.told) == [([SERVICE], True), (["one", "two"], True)]


async def test_every_receiver_is_told_and_one_that_fails_keeps_none_from_it():
    broken, works = Receiver("broken"), Receiver("works")
    desk = Desk(broken, works)
    broken.failing = NotTold("no route")
    await desk.look(one=11)
    assert works.told == [(["one"], True)]
    broken.failing = None
    await desk.look(one=11)
    assert broken.told == [(["one"], True)]
    assert works.told == [(["one"], True)], "who was told is not told again"
    (alert,) = await desk.alerts()
    assert sorted((one.ok, one.detail) for one in alert.notified) == [
        (False, "broken: no route"),
        (True, "broken"),
        (True, "works"),
    ]


@pytest.mark.parametrize(
    ("error", "detail"),
    [(ValueError("json://secret@host"), "failed"), (TimeoutError(), "timed out")],
)
async def test_a_receiver_that_raises_anything_is_tried_again_and_named_without_its_words(
    desk: Desk, pager: Receiver, error: Exception, detail: str
):
    pager.failing = error
    await desk.look(one=11)
    (alert,) = await desk.alerts()
    assert [one.detail for one in alert.notified] == [f"pager: {detail}"]
    pager.failing = None
    await desk.look(one=11)
    assert pager.told == [(["one"], True)]


async def test_a_receiver_that_fails_is_tried_again_ever_more_seldom(desk: Desk, pager: Receiver):
    pager.failing = NotTold("down")
    tried_at_s: list[int] = []
    with capture_logs() as lines:
        for look in range(360):  # an hour
            before = pager.tries
            await desk.look(one=11)
            tried_at_s += [look * 10] * (pager.tries - before)
    assert tried_at_s == [0, 10, 40, 100, 400, 1300, 2200, 3100]
    failures = [line for line in lines if line["event"] == "alert_not_told"]
    assert [(line["receiver"], line["reason"]) for line in failures] == [("pager", "down")] * 8
    (alert,) = await desk.alerts()
    assert len(alert.notified) == pager.tries


async def test_a_receiver_that_never_works_is_given_up(desk: Desk, pager: Receiver):
    pager.failing = NotTold("down")
    for _ in range(110):
        await desk.look(900, one=11)
    assert pager.tries == 100
    (alert,) = await desk.alerts()
    assert len(alert.notified) == 20


async def test_many_alerts_at_once_are_all_told_and_only_those_in_vain_are_given_up_at_last():
    broken, works = Receiver("broken"), Receiver("works")
    broken.failing = NotTold("down")
    desk = Desk(broken, works)
    many = {f"s{number}": 11.0 for number in range(6000)}
    await desk.look(**many)
    assert [len(subjects) for subjects, _ in works.told] == [6000]
    assert "not delivered yet: 5000" in (desk.alerting.health().detail or "")
    broken.failing = None
    await desk.look(**many)
    assert [len(subjects) for subjects, _ in broken.told] == [5000]


async def test_what_resolved_before_it_could_be_told_is_told_as_resolved_only(
    desk: Desk, pager: Receiver
):
    pager.failing = NotTold("down")
    await desk.look(one=11)
    await desk.look(one=5)
    pager.failing = None
    for _ in range(3):
        await desk.look(30, one=5)
    assert pager.told == [(["one"], False)]


async def test_a_receiver_gets_one_message_after_the_other_and_none_after_one_that_failed(
    desk: Desk, pager: Receiver, monkeypatch: pytest.MonkeyPatch
):
    tell, busy = pager.tell, list[bool]()

    async def slowly(alerts: Sequence[Alert], *, remedy: str) -> None:
        busy.append(True)
        assert len(busy) == 1
        for _ in range(5):
            await asyncio.sleep(0)
        busy.pop()
        await tell(alerts, remedy=remedy)

    monkeypatch.setattr(pager, "tell", slowly)
    await desk.look(one=11, service=11)
    assert len(pager.told) == 2
    pager.failing = NotTold("down")
    await desk.look(one=5, service=5)
    assert pager.tries == 3
    pager.failing = None
    await desk.look(one=5, service=5)
    assert sorted(pager.told[2:]) == [([SERVICE], False), (["one"], False)]


# --- keeping --------------------------------------------------------------------------------------


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


# --- over a restart -------------------------------------------------------------------------------


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


async def test_a_receiver_that_was_not_told_before_a_restart_is_told_after_it():
    broken, works = Receiver("broken"), Receiver("works")
    desk = Desk(broken, works)
    broken.failing = NotTold("no route")
    for _ in range(120):
        await desk.look(900, one=11)
    (stored,) = desk.shelf.alerts.values()
    assert len(stored.notified) == 20
    later = Desk(Receiver("broken"), Receiver("works"), shelf=desk.shelf)
    await later.look(one=11)
    assert later.receivers[0].told == [(["one"], True)]
    assert later.receivers[1].told == [], "who was told is not told again"


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


async def test_what_is_told_is_stored_though_another_receiver_hangs(
    monkeypatch: pytest.MonkeyPatch,
):
    works, hangs = Receiver("works"), Receiver("hangs")
    hanging = asyncio.Event()

    async def hang(alerts: Sequence[Alert], *, remedy: str) -> None:
        hanging.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(hangs, "tell", hang)
    desk = Desk(works, hangs)
    look = asyncio.create_task(desk.look(one=11))
    await hanging.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    assert works.told == [(["one"], True)]
    look.cancel()
    await asyncio.wait([look])
    assert [alert.subject for alert in desk.shelf.alerts.values()] == ["one"]
    await desk.alerting.save()
    later = Desk(Receiver("works"), Receiver("hangs"), shelf=desk.shelf)
    await later.look(one=11)
    assert [one.told for one in later.receivers] == [[], [(["one"], True)]]


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


# --- its life -------------------------------------------------------------------------------------


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


# --- how the engine itself is ---------------------------------------------------------------------


async def test_open_alerts_are_counted_by_rule_and_severity(desk: Desk):
    await desk.look(one=11, two=11, service=11)
    assert desk.alerting.firing() == {("hot", "warning"): 2, ("database", "critical"): 1}
    await desk.look(one=5, two=11)
    assert desk.alerting.firing() == {("hot", "warning"): 1}


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
