"""Every ending has one cause (docs/reference/protocol.md §2)."""

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
    Local.INTERCEPTED: Cause.UNREACHABLE,
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
    Local.PHONE_OUTDATED: Cause.PHONE_OUTDATED,
    Local.PASSKEY: Cause.PASSKEY_REQUIRED,
    Local.UNREADABLE_STATE: Cause.UNREADABLE_STATE,
    Local.INTERNAL: Cause.INTERNAL,
    Local.RESTARTED: Cause.RESTARTED,
    Local.LOGGED_OUT: Cause.STOPPED,
    Local.STOPPED: Cause.STOPPED,
    Local.SERVICE_ENDED: Cause.SERVICE_ENDED,
}

# Codes that libraries make up on their own side, or that belong to another product: none of them
# comes over the wire with a meaning, so none may cost a session its credentials.
NOT_ON_THE_WIRE = ("408", "411", "412", "419", "421", "428", "440", "463", "475", "479", "599")


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
    assert FAILURES.keys() == causes.FAILURES.keys()
    assert STREAM_ERRORS.keys() == causes.STREAM_ERRORS.keys()
    assert LOCAL.keys() == causes.LOCALS.keys() == set(Local)


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


@pytest.mark.parametrize("kind", [Kind.FAILURE, Kind.STREAM_ERROR])
@pytest.mark.parametrize("code", ["", *NOT_ON_THE_WIRE])
def test_a_code_that_one_library_made_up_is_unknown_here(kind: Kind, code: str) -> None:
    assert classify(Ending(kind=kind, code=code)) is Cause.UNKNOWN


@given(st.text(max_size=12))
def test_a_local_ending_without_a_row_is_a_mistake_of_ours(code: str) -> None:
    if code not in set(Local):
        assert classify(Ending(kind=Kind.LOCAL, code=code)) is Cause.INTERNAL


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
