"""Which events tell of the loss of a connection."""

from datetime import UTC, datetime, timedelta

import pytest

from perene.core.causes import Cause, Ending, Kind
from perene.core.events import EventType
from perene.core.machines.effects import Disconnected, OutageOver, PhoneAbsent, PhoneBack
from perene.core.machines.inputs import Start, Stop
from perene.core.machines.signals import Decided
from perene.core.machines.verdict import Verdict
from perene.core.policy import POLICIES
from perene.supervisor.session.telling import events_of
from tests.support.endings import LOST
from tests.unit.core.machines.life import Life

NOW = datetime(2026, 11, 21, tzinfo=UTC)

OF_CAUSE = {
    Cause.RESTART_REQUIRED: EventType.SESSION_ERROR_515,
    Cause.TEMPORARY_BAN: EventType.SESSION_BANNED,
    Cause.BANNED: EventType.SESSION_BANNED,
    Cause.LOCKED: EventType.SESSION_LOCKED,
    Cause.REPLACED: EventType.SESSION_REPLACED,
    Cause.OUTDATED: EventType.SESSION_OUTDATED,
    Cause.RATE_LIMITED: EventType.SESSION_RATE_LIMITED,
}


@pytest.mark.requirement("D1", "D8", "F10")
@pytest.mark.parametrize("cause", Cause)
def test_a_cause_that_has_an_event_of_its_own_is_told_by_it_too(cause: Cause) -> None:
    ending = Ending(kind=Kind.FAILURE, code="code")
    verdict = Verdict(ending=ending, cause=cause, policy=POLICIES[cause])
    decided = Decided(verdict=verdict, attempt=3, wait=timedelta(seconds=7))
    events = events_of(Disconnected(decided=decided, outage=None), NOW)
    expected = [EventType.SESSION_DISCONNECTED]
    if cause in OF_CAUSE:
        expected.append(OF_CAUSE[cause])
    assert [event.type for event in events] == expected
    for event in events:
        told = event.payload
        assert (told["cause"], told["code"], told["attempt"]) == (cause.value, "code", 3)
        assert (told["retry_in_s"], told["sentence"]) == (7.0, POLICIES[cause].sentence)
        assert ("ban_code" in told) is (cause is Cause.TEMPORARY_BAN)


@pytest.mark.requirement("F10")
@pytest.mark.parametrize(("attributes", "told"), [({"expire": "60"}, True), ({}, False)])
def test_the_end_of_a_ban_is_told_only_if_whatsapp_named_it(
    attributes: dict[str, str], told: bool
) -> None:
    ending = Ending(kind=Kind.FAILURE, code="402", attributes=attributes)
    verdict = Verdict.of(ending, POLICIES)
    decided = Decided(verdict=verdict, attempt=0, wait=timedelta(seconds=60))
    events = events_of(Disconnected(decided=decided, outage=None), NOW)
    (banned,) = [one for one in events if one.type is EventType.SESSION_BANNED]
    assert ("until" in banned.payload) is told


@pytest.mark.requirement("F10")
def test_a_ban_is_told_with_its_code() -> None:
    ending = Ending(kind=Kind.FAILURE, code="402", attributes={"code": "101"})
    decided = Decided(verdict=Verdict.of(ending, POLICIES), attempt=0, wait=timedelta(hours=1))
    events = events_of(Disconnected(decided=decided, outage=None), NOW)
    assert [event.payload["ban_code"] for event in events] == ["101", "101"]


@pytest.mark.requirement("D8")
def test_the_last_515_is_an_event_of_its_own_and_an_attempt_in_vain_of_another_cause_is_not() -> (
    None
):
    told: dict[Cause, list[EventType]] = {}
    for cause in (Cause.RESTART_REQUIRED, Cause.RATE_LIMITED):
        verdict = Verdict(ending=LOST, cause=cause, policy=POLICIES[cause])
        decided = Decided(
            verdict=verdict, attempt=11, wait=timedelta(), exhausted=True, attention=True
        )
        events = events_of(Disconnected(decided=decided, outage=None), NOW)
        told[cause] = [event.type for event in events[1:]]
    assert told == {
        Cause.RESTART_REQUIRED: [
            EventType.SESSION_ERROR_515_MAX_ATTEMPTS,
            EventType.SESSION_NEEDS_ATTENTION,
        ],
        Cause.RATE_LIMITED: [EventType.SESSION_RATE_LIMITED, EventType.SESSION_NEEDS_ATTENTION],
    }


def test_a_loss_names_its_outage_and_a_recovery_the_same() -> None:
    life = Life(Start(by_person=True))
    life.opened()
    life.lost(LOST)
    outage = life.outage
    (lost,) = events_of(life.told(Disconnected)[-1], NOW)
    life.comes_due()
    life.stays_up()
    (over,) = life.told(OutageOver)
    (recovered,) = events_of(over, NOW)
    assert recovered.type is EventType.SESSION_RECOVERED
    assert lost.payload["outage"] == recovered.payload["outage"] == outage.id
    assert (recovered.payload["attempts"], recovered.payload["lasted_s"]) == (1, 31.0)
    assert recovered.payload["cause"] == lost.payload["cause"] == "network"


def test_an_outage_that_a_person_ended_is_no_recovery() -> None:
    life = Life(Start(by_person=True))
    life.opened()
    life.lost(LOST)
    life.give(Stop(by_person=True))
    (over,) = life.told(OutageOver)
    assert events_of(over, NOW) == ()


def test_an_absent_phone_is_told_of_with_its_days_and_so_is_its_return() -> None:
    (absent,) = events_of(PhoneAbsent(days=12), NOW)
    assert (absent.type, absent.payload) == (EventType.SESSION_PHONE_ABSENT, {"days": 12})
    assert [event.type for event in events_of(PhoneBack(), NOW)] == [EventType.SESSION_PHONE_BACK]
