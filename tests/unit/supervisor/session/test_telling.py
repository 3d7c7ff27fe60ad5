"""Which events tell of the loss of a connection."""

from datetime import UTC, datetime, timedelta

import pytest

from perene.core.causes import Cause, Ending, Kind
from perene.core.events import EventType
from perene.core.machines.effects import Disconnected
from perene.core.machines.signals import Decided
from perene.core.machines.verdict import Verdict
from perene.core.policy import POLICIES
from perene.supervisor.session.telling import events_of

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
