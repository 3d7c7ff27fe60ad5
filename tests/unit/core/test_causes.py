"""Every ending has one cause, and every cause one reaction (facts/protocol.md §2)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perene.core import causes
from perene.core.causes import (
    Cause,
    Ending,
    Kind,
    Local,
    banned_until,
    classify,
)
from perene.core.policy import POLICIES, Count, Exhausted, Growth, Reaction, Schedule, policies_with

FAILURES = {
    "400": Cause.FAULTY,
    "401": Cause.UNLINKED,
    "402": Cause.TEMPORARY_BAN,
    "403": Cause.LOCKED,
    "405": Cause.OUTDATED,
    "406": Cause.BANNED,
    "409": Cause.REFUSED,
    "413": Cause.UNKNOWN,
    "414": Cause.UNKNOWN,
    "415": Cause.REFUSED,
    "418": Cause.REFUSED,
    "429": Cause.RATE_LIMITED,
    "500": Cause.SERVER_UNAVAILABLE,
    "501": Cause.FAULTY,
    "503": Cause.SERVER_UNAVAILABLE,
}

STREAM_ERRORS = {
    "401": Cause.UNKNOWN,
    "409": Cause.REPLACED,
    "429": Cause.RATE_LIMITED,
    "500": Cause.SERVER_UNAVAILABLE,
    "503": Cause.SERVER_UNAVAILABLE,
    "515": Cause.RESTART_REQUIRED,
    "516": Cause.UNLINKED,
    "ack": Cause.STREAM_ENDED,
    "ping": Cause.STREAM_ENDED,
    "xml-not-well-formed": Cause.MALFORMED,
}

LOCAL = {
    Local.DNS: Cause.DNS,
    Local.REFUSED: Cause.UNREACHABLE,
    Local.TLS: Cause.TLS,
    Local.CONNECT_TIMEOUT: Cause.UNREACHABLE,
    Local.PROXY: Cause.PROXY,
    Local.HTTP_REFUSED: Cause.SERVER_UNAVAILABLE,
    Local.UNREACHABLE: Cause.UNREACHABLE,
    Local.OPEN_FILES: Cause.OPEN_FILES,
    Local.SOCKET_CLOSED: Cause.NETWORK,
    Local.HANDSHAKE_TIMEOUT: Cause.HANDSHAKE_TIMEOUT,
    Local.HANDSHAKE_FAILED: Cause.UNTRUSTED_SERVER,
    Local.CERTIFICATE: Cause.UNTRUSTED_SERVER,
    Local.MALFORMED: Cause.MALFORMED,
    Local.KEEPALIVE: Cause.KEEPALIVE,
    Local.HALF_OPEN: Cause.HALF_OPEN,
    Local.DEAF: Cause.DEAF,
    Local.CLOCK_JUMP: Cause.CLOCK_JUMP,
    Local.STORAGE: Cause.STORAGE,
    Local.STALE_EPOCH: Cause.OWNERSHIP_LOST,
    Local.PAIRING_EXPIRED: Cause.PAIRING_EXPIRED,
    Local.PAIRING_REFUSED: Cause.PAIRING_REFUSED,
    Local.PASSKEY: Cause.PASSKEY_REQUIRED,
    Local.UNREADABLE_STATE: Cause.UNREADABLE_STATE,
    Local.INTERNAL: Cause.INTERNAL,
    Local.RESTARTED: Cause.RESTARTED,
    Local.STOPPED: Cause.STOPPED,
    Local.SERVICE_ENDED: Cause.SERVICE_ENDED,
}

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
    Cause.UNREADABLE_STATE: Reaction.STOP,
    Cause.RESTARTED: Reaction.NONE,
    Cause.STOPPED: Reaction.NONE,
    Cause.SERVICE_ENDED: Reaction.NONE,
}

# Codes that libraries make up on their own side, or that belong to another product: none of them
# comes over the wire with a meaning, so none may cost a session its credentials.
NOT_ON_THE_WIRE = ("408", "411", "412", "419", "421", "428", "440", "463", "475", "479", "599")


def reaction(ending: Ending) -> Reaction:
    return POLICIES[classify(ending)].reaction


@pytest.mark.parametrize(("code", "cause"), FAILURES.items())
def test_a_refused_login_has_the_cause_of_its_code(code: str, cause: Cause) -> None:
    assert classify(Ending(kind=Kind.FAILURE, code=code)) is cause


@pytest.mark.parametrize(("code", "cause"), STREAM_ERRORS.items())
def test_a_stream_error_has_the_cause_of_its_code(code: str, cause: Cause) -> None:
    assert classify(Ending(kind=Kind.STREAM_ERROR, code=code)) is cause


@pytest.mark.parametrize(("name", "cause"), LOCAL.items())
def test_an_ending_noticed_here_has_the_cause_of_its_name(name: Local, cause: Cause) -> None:
    assert classify(Ending(kind=Kind.LOCAL, code=name)) is cause


def test_these_tables_hold_every_row_of_the_code() -> None:
    assert FAILURES.keys() == causes._FAILURES.keys()
    assert STREAM_ERRORS.keys() == causes._STREAM_ERRORS.keys()
    assert LOCAL.keys() == causes._LOCAL.keys() == set(Local)


@pytest.mark.parametrize("code", ["", "401", "409", "440", "515"])
@pytest.mark.parametrize(
    ("conflict", "cause"),
    [
        ("replaced", Cause.REPLACED),
        ("device_removed", Cause.UNLINKED),
        ("something_new", Cause.REPLACED),
    ],
)
def test_a_conflict_says_more_than_the_code_beside_it(
    conflict: str, cause: Cause, code: str
) -> None:
    assert classify(Ending(kind=Kind.STREAM_ERROR, code=code, conflict=conflict)) is cause


@pytest.mark.parametrize("code", ["", "401", "515"])
def test_a_stream_that_was_closed_in_order_needs_no_code(code: str) -> None:
    assert classify(Ending(kind=Kind.STREAM_END, code=code)) is Cause.STREAM_ENDED


@pytest.mark.requirement("D1")
def test_only_the_stream_error_515_asks_for_a_restart() -> None:
    asking = {
        (kind, code)
        for kind in Kind
        for code in map(str, range(1000))
        if classify(Ending(kind=kind, code=code)) is Cause.RESTART_REQUIRED
    }
    assert asking == {(Kind.STREAM_ERROR, "515")}


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


@pytest.mark.parametrize("kind", [Kind.FAILURE, Kind.STREAM_ERROR])
@pytest.mark.parametrize("code", ["", *NOT_ON_THE_WIRE])
def test_a_code_that_one_library_made_up_is_unknown_here(kind: Kind, code: str) -> None:
    assert classify(Ending(kind=kind, code=code)) is Cause.UNKNOWN


@given(st.sampled_from([Kind.FAILURE, Kind.STREAM_ERROR]), st.text(max_size=8))
def test_an_unknown_code_keeps_the_credentials_and_is_tried_again(kind: Kind, code: str) -> None:
    known = FAILURES if kind is Kind.FAILURE else STREAM_ERRORS
    if code not in known:
        assert reaction(Ending(kind=kind, code=code)) is Reaction.RETRY


@given(st.text(min_size=1, max_size=20))
def test_an_unknown_conflict_keeps_the_credentials_and_fights_nobody(conflict: str) -> None:
    if conflict != "device_removed":
        ending = Ending(kind=Kind.STREAM_ERROR, code="401", conflict=conflict)
        assert reaction(ending) is Reaction.STOP


@given(st.text(max_size=12))
def test_a_local_ending_without_a_row_is_a_mistake_of_ours(code: str) -> None:
    if code not in set(Local):
        assert classify(Ending(kind=Kind.LOCAL, code=code)) is Cause.INTERNAL


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
"""What the sentence says."""


@pytest.mark.parametrize("cause", Cause)
def test_what_waits_for_a_person_tells_that_person_what_to_do(cause: Cause) -> None:
    policy = POLICIES[cause]
    waits = policy.reaction in (Reaction.STOP, Reaction.REPAIR, Reaction.NEW_CODE) or (
        policy.reaction is not Reaction.NONE and policy.then is Exhausted.STOP
    )
    says = any(words in policy.sentence for words in WHAT_TO_DO)
    assert says or not waits or cause in NOTHING_HELPS
    assert policy.sentence.endswith(".")


def test_settings_change_schedules_and_limits_and_nothing_else() -> None:
    changed = policies_with({"network.limit": "50", "dns.schedule": "fixed:60..60"})
    assert changed[Cause.NETWORK].limit == 50
    schedule = changed[Cause.DNS].schedule
    assert schedule is not None
    assert schedule.growth is Growth.FIXED
    assert changed[Cause.UNKNOWN] is POLICIES[Cause.UNKNOWN]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("nothing.limit", "5"),
        ("network.limit", "0"),
        ("network.limit", "many"),
        ("network.reaction", "stop"),
        ("banned.limit", "5"),
        ("dns.schedule", "now"),
        ("dns.schedule", "fixed:0"),
        ("dns.schedule", "fibonacci:60..10"),
    ],
)
def test_a_wrong_change_of_a_policy_names_its_entry(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        policies_with({name: value})


@given(st.sampled_from(Growth), st.integers(1, 1000), st.integers(0, 200), st.floats(0, 1))
def test_a_wait_is_never_longer_than_its_cap(
    growth: Growth, seconds: int, earlier: int, jitter: float
) -> None:
    cap = timedelta(seconds=max(900, seconds))
    schedule = Schedule(growth=growth, step=timedelta(seconds=seconds), cap=cap)
    assert timedelta() <= schedule.wait(earlier, jitter) <= cap * 1.1
    assert schedule.describe()


def test_every_cause_can_happen() -> None:
    found = {*FAILURES.values(), *STREAM_ERRORS.values(), *LOCAL.values(), Cause.STREAM_ENDED}
    assert found == set(Cause)


def test_a_server_that_answers_429_to_the_upgrade_limits_the_rate() -> None:
    ending = Ending(kind=Kind.LOCAL, code=Local.HTTP_REFUSED, attributes={"status": "429"})
    assert classify(ending) is Cause.RATE_LIMITED


NOW = datetime(2026, 11, 21, tzinfo=UTC)


@given(st.integers(min_value=1, max_value=1_000_000_000))
def test_a_ban_lasts_as_many_seconds_as_the_server_says(seconds: int) -> None:
    until = banned_until({"code": "101", "expire": str(seconds)}, NOW)
    assert until == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize("expire", ["", "soon", "-5", "0", "1.5", "1e3", "٣x", "99999999999999999"])
def test_a_ban_whose_end_makes_no_sense_has_none(expire: str) -> None:
    assert banned_until({"expire": expire}, NOW) is None


def test_a_ban_without_an_end_has_none() -> None:
    assert banned_until({}, NOW) is None


@given(st.integers(min_value=1_000_000_001, max_value=4_000_000_000))
def test_a_date_is_never_taken_for_a_duration(epoch: int) -> None:
    until = datetime.fromtimestamp(epoch, UTC)
    # One that is over by our clock says nothing: to try at once would be answered the same way.
    expected = until if until > NOW else None
    assert banned_until({"expire": str(epoch)}, NOW) == expected


@given(st.dictionaries(st.sampled_from(["expire", "code"]), st.text(max_size=30)))
def test_no_attribute_of_the_server_can_break_the_reading_of_a_ban(
    attributes: dict[str, str],
) -> None:
    banned_until(attributes, NOW)
