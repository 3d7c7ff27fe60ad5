"""Random lives of a session: whatever happens in whatever order, some things never do."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perene.core.causes import Ending, Kind, Local
from perene.core.clock import Instant
from perene.core.ids import Epoch, SessionId
from perene.core.lifecycle import new_session, next_deadline, step
from perene.core.outages import OutageId
from perene.core.policy import POLICIES, Reaction
from perene.core.standing import Standing
from perene.core.transitions import (
    Acquire,
    Acquired,
    Archive,
    Archived,
    Chances,
    Connect,
    Connecting,
    Destroy,
    Destroyed,
    Disconnected,
    Down,
    Draining,
    Due,
    Ended,
    Event,
    Held,
    Linked,
    LogOut,
    NotAcquired,
    Open,
    Opened,
    Restart,
    Start,
    Stop,
    VersionFound,
)

BEGAN = datetime(2026, 11, 21, tzinfo=UTC)
CODES = ["400", "401", "402", "403", "405", "406", "409", "429", "500", "501", "503", "515", "516"]

endings = st.one_of(
    st.builds(
        Ending,
        kind=st.sampled_from([Kind.FAILURE, Kind.STREAM_ERROR]),
        code=st.sampled_from([*CODES, "777"]),
        conflict=st.sampled_from(["", "", "", "replaced", "device_removed"]),
        attributes=st.fixed_dictionaries({"expire": st.sampled_from(["", "600", "86400"])}),
    ),
    st.builds(Ending, kind=st.just(Kind.LOCAL), code=st.sampled_from(list(Local))),
)
happenings = st.one_of(
    st.builds(Start, by_person=st.booleans()),
    st.builds(Restart),
    st.builds(Stop, by_person=st.booleans()),
    st.builds(LogOut),
    st.builds(NotAcquired, taken=st.booleans()),
    st.builds(Linked),
    st.just("opened"),
    st.builds(Ended, ending=endings),
    st.builds(Archived, ok=st.booleans()),
    st.builds(Destroyed, ok=st.booleans()),
    st.builds(VersionFound, found=st.booleans()),
    st.just("acquired"),
    st.just("due"),
    st.just("due"),
)


@pytest.mark.requirement("C3", "D2", "D5", "D9")
@given(st.lists(st.tuples(happenings, st.floats(0, 4000), st.floats(0, 1)), max_size=60))
def test_no_life_makes_two_connections_breaks_a_ban_or_destroys_credentials(  # noqa: C901  # a script, read from top to bottom
    life: list[tuple[Event | str, float, float]],
) -> None:
    state = new_session(SessionId("ana"), paired=True)
    seconds, epoch, asked_to_log_out, banned_until = 0.0, 0, False, 0.0
    begun = step(state, Start(by_person=False), _at(0.0), _chances(0.5))
    state = begun.state
    for happening, passed, jitter in life:
        seconds += passed
        due = next_deadline(state)
        if happening == "due":
            seconds = max(seconds, due) if due is not None else seconds
            event: Event = Due()
        elif happening == "acquired":
            epoch += 1
            event = Acquired(epoch=Epoch(epoch))
        elif happening == "opened":
            event = Opened(at=_at(seconds))
        else:
            assert not isinstance(happening, str)
            event = happening
        asked_to_log_out = asked_to_log_out or isinstance(event, LogOut)
        before = state.connection
        taken = step(state, event, _at(seconds), _chances(jitter))
        state = taken.state
        for effect in taken.effects:
            match effect:
                case Connect():
                    assert not isinstance(before, Connecting | Open | Draining)
                    assert isinstance(state.connection, Connecting)
                case Acquire():
                    assert seconds >= banned_until - 0.002, "no attempt before a ban is over"
                case Destroy():
                    assert asked_to_log_out
                case Archive(reason=cause):
                    policy = POLICIES[cause]
                    assert policy.archive or policy.limit == 10
                case Disconnected(policy=policy, wait=wait):
                    if policy.reaction is Reaction.WAIT_UNTIL:
                        assert wait is not None
                        banned_until = seconds + wait.total_seconds()
                    assert wait is None or wait >= timedelta()
                case _:
                    pass
        if isinstance(state.connection, Held | Down):
            assert next_deadline(state) is None
        again = Standing.parse(state.standing.serialize())
        assert again == state.standing, "what is stored comes back whole"


@given(endings, st.integers(0, 40), st.floats(0, 1))
def test_no_cause_makes_attempts_faster_than_its_schedule(
    ending: Ending, times: int, jitter: float
) -> None:
    state, seconds, attempts = new_session(SessionId("ana"), paired=True), 0.0, list[float]()
    state = step(state, Start(by_person=False), _at(0.0), _chances(jitter)).state
    for number in range(times):
        taken = step(state, Acquired(epoch=Epoch(number + 1)), _at(seconds), _chances(jitter))
        if any(isinstance(effect, Connect) for effect in taken.effects):
            attempts.append(seconds)
        state = step(taken.state, Ended(ending=ending), _at(seconds), _chances(jitter)).state
        state = step(state, Archived(ok=True), _at(seconds), _chances(jitter)).state
        due = next_deadline(state)
        if due is not None:
            seconds = max(seconds, due)
            state = step(state, Due(), _at(seconds), _chances(jitter)).state
    # A restart follows at once, and so does a new code; never more than that in a moment.
    for earlier, later in zip(attempts, attempts[4:], strict=False):
        assert later - earlier >= 3


def _at(seconds: float) -> Instant:
    return Instant(wall=BEGAN + timedelta(seconds=seconds), monotonic=seconds)


def _chances(jitter: float) -> Chances:
    return Chances(jitter=jitter, outage_id=OutageId("one"))
