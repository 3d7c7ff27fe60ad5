"""What follows from each cause: one reaction, and a sentence for people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perene.core import causes
from perene.core.causes import Cause, Ending, Kind, Local, classify
from perene.core.policy import POLICIES, Count, Exhausted, Reaction

_NETWORK = (Reaction.RETRY, 30, Exhausted.GO_ON_SLOWLY)
REACTIONS = {
    Cause.RESTART_REQUIRED: (Reaction.RETRY, 10, Exhausted.REPAIR),
    Cause.STREAM_ENDED: _NETWORK,
    Cause.NETWORK: _NETWORK,
    Cause.DNS: _NETWORK,
    Cause.UNREACHABLE: _NETWORK,
    Cause.TLS: _NETWORK,
    Cause.PROXY: _NETWORK,
    Cause.OPEN_FILES: _NETWORK,
    Cause.HANDSHAKE_TIMEOUT: _NETWORK,
    Cause.KEEPALIVE: _NETWORK,
    Cause.HALF_OPEN: _NETWORK,
    Cause.DEAF: _NETWORK,
    Cause.MALFORMED: _NETWORK,
    Cause.CLOCK_JUMP: _NETWORK,
    Cause.SERVER_UNAVAILABLE: _NETWORK,
    Cause.RATE_LIMITED: _NETWORK,
    Cause.UNTRUSTED_SERVER: _NETWORK,
    Cause.INTERNAL: _NETWORK,
    Cause.FAULTY: (Reaction.RETRY, 10, Exhausted.STOP),
    Cause.UNKNOWN: (Reaction.RETRY, 5, Exhausted.STOP),
    Cause.OUTDATED: (Reaction.NEW_VERSION, 1, Exhausted.STOP),
}
ONLY_REACTION = {
    Cause.TEMPORARY_BAN: Reaction.WAIT_UNTIL,
    Cause.LOCKED: Reaction.STOP,
    Cause.BANNED: Reaction.STOP,
    Cause.UNLINKED: Reaction.REPAIR,
    Cause.REPLACED: Reaction.STOP,
    Cause.REFUSED: Reaction.STOP,
    Cause.PASSKEY_REQUIRED: Reaction.STOP,
    Cause.STORAGE: Reaction.RETRY,
    Cause.OWNERSHIP_LOST: Reaction.STOP,
    Cause.PAIRING_EXPIRED: Reaction.NEW_CODE,
    Cause.PAIRING_REFUSED: Reaction.NEW_CODE,
    Cause.PHONE_OUTDATED: Reaction.NEW_CODE,
    Cause.UNREADABLE_STATE: Reaction.STOP,
    Cause.RESTARTED: Reaction.NONE,
    Cause.STOPPED: Reaction.NONE,
    Cause.SERVICE_ENDED: Reaction.NONE,
}


def reaction(ending: Ending) -> Reaction:
    return POLICIES[classify(ending)].reaction


def test_only_whatsapp_can_unlink_a_device_and_only_in_three_ways() -> None:
    codes = ["", *map(str, range(1000)), *Local]
    conflicts = ["", "replaced", "device_removed", "something_new"]
    unlinking = {
        (kind, code if not conflict else "", conflict)
        for kind in Kind
        for code in codes
        for conflict in (conflicts if kind is Kind.STREAM_ERROR else [""])
        if reaction(Ending(kind=kind, code=code, conflict=conflict)) is Reaction.REPAIR
    }
    assert unlinking == {
        (Kind.FAILURE, "401", ""),
        (Kind.STREAM_ERROR, "516", ""),
        (Kind.STREAM_ERROR, "", "device_removed"),
    }


@given(st.sampled_from([Kind.FAILURE, Kind.STREAM_ERROR]), st.text(max_size=8))
def test_an_unknown_code_keeps_the_credentials_and_is_tried_again(kind: Kind, code: str) -> None:
    known = causes.FAILURES if kind is Kind.FAILURE else causes.STREAM_ERRORS
    if code not in known:
        assert reaction(Ending(kind=kind, code=code)) is Reaction.RETRY


@given(st.text(min_size=1, max_size=20))
def test_an_unknown_conflict_keeps_the_credentials_and_fights_nobody(conflict: str) -> None:
    if conflict != "device_removed":
        ending = Ending(kind=Kind.STREAM_ERROR, code="401", conflict=conflict)
        assert reaction(ending) is Reaction.STOP


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_one_reaction_and_a_sentence_for_people(cause: Cause) -> None:
    policy = POLICIES[cause]
    if cause in REACTIONS:
        assert (policy.reaction, policy.limit, policy.then) == REACTIONS[cause]
    else:
        assert policy.reaction is ONLY_REACTION[cause]
    assert policy.sentence[0].isupper()
    assert policy.sentence.endswith(".")


@pytest.mark.requirement("D2")
def test_only_an_unlinked_or_locked_device_loses_its_credentials_at_once() -> None:
    assert {cause for cause in Cause if POLICIES[cause].archive} == {Cause.UNLINKED, Cause.LOCKED}


def test_no_two_causes_say_the_same() -> None:
    assert len({policy.sentence for policy in POLICIES.values()}) == len(Cause)


@pytest.mark.requirement("D3")
def test_restarts_and_unknown_causes_are_counted_apart() -> None:
    assert POLICIES[Cause.RESTART_REQUIRED].count is Count.RESTARTS
    assert POLICIES[Cause.UNKNOWN].count is Count.UNKNOWN


@pytest.mark.requirement("D4")
def test_restarts_follow_at_once_and_then_five_minutes_later_each_time() -> None:
    schedule = POLICIES[Cause.RESTART_REQUIRED].schedule
    assert schedule is not None
    waits = [schedule.wait(n, 0.9).total_seconds() for n in range(10)]
    assert waits == [300.0 * n for n in range(10)]


WHAT_TO_DO = ("start this session", "pair again", "QR code", "appeal", "set PERENE_", "Check ")
NOTHING_HELPS = (Cause.PASSKEY_REQUIRED,)
"""Of these the sentence says so."""


@pytest.mark.parametrize("cause", Cause)
def test_what_waits_for_a_person_tells_that_person_what_to_do(cause: Cause) -> None:
    policy = POLICIES[cause]
    waits = policy.reaction in (Reaction.STOP, Reaction.REPAIR, Reaction.NEW_CODE) or (
        policy.reaction is not Reaction.NONE and policy.then is Exhausted.STOP
    )
    says = any(words in policy.sentence for words in WHAT_TO_DO)
    assert says or not waits or cause in NOTHING_HELPS
    assert policy.sentence.endswith(".")
