"""Random lives of a session: whatever happens in whatever order, some things never do.

The world of these lives keeps to what a shell can do: an answer comes only to what was asked, a
connection ends only once it was made. `Strays` then sends what nobody asked for.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from perene.core.causes import Cause, Ending, Kind, Local, classify
from perene.core.clock import Instant
from perene.core.ids import Epoch, SessionId
from perene.core.machines.effects import (
    Acquire,
    Archive,
    Connect,
    Destroy,
    Disconnected,
    Drain,
    Effect,
    FindVersion,
    OutageOver,
    PhoneAbsent,
    PingPhone,
    Stopped,
)
from perene.core.machines.inputs import (
    Acquired,
    Archived,
    Destroyed,
    Due,
    Ended,
    Input,
    LoggedIn,
    LogOut,
    NotAcquired,
    PhoneAccepted,
    PhoneSeen,
    Relieved,
    Restart,
    Start,
    Stop,
    VersionFound,
)
from perene.core.machines.session import new_session, next_deadline, step
from perene.core.machines.state import (
    Absence,
    Chances,
    Claiming,
    Down,
    Held,
    SessionState,
    Waiting,
)
from perene.core.outages import OutageId
from perene.core.policy import POLICIES, SLOWLY, STABLE_AFTER, Count, Reaction, Relief
from perene.core.standing import Standing

BEGAN = datetime(2026, 11, 21, tzinfo=UTC)
CODES = ["400", "401", "402", "403", "405", "406", "409", "429", "500", "501", "503", "515", "516"]
OF_CODES = (Local.PAIRING_EXPIRED, Local.PAIRING_REFUSED, Local.PHONE_OUTDATED)
MANY_STEPS = 4 * 45
"""Four for an attempt, and more attempts than any limit before people are told."""

endings = st.one_of(
    st.builds(
        Ending,
        kind=st.sampled_from([Kind.FAILURE, Kind.STREAM_ERROR]),
        code=st.sampled_from([*CODES, "777"]),
        conflict=st.sampled_from(["", "", "", "replaced", "device_removed"]),
        attributes=st.fixed_dictionaries(
            {"expire": st.sampled_from(["", "600", "86400", "1700000000"])}
        ),
    ),
    st.builds(Ending, kind=st.just(Kind.LOCAL), code=st.sampled_from(list(Local))),
)


class Lives(RuleBasedStateMachine):
    """A session, and the world around it as far as the session can tell."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.jitter = 0.5
        self.epoch = 0
        self.state: SessionState = new_session(SessionId("ana"), paired=True)
        self.under_way: Counter[str] = Counter()
        self.connection = "none"
        self.asked_to_log_out = False
        self.banned_until: datetime | None = None
        self.last_told_attention = False
        self.told_of: set[OutageId] = set()
        """Outages of which people were told that they need attention."""
        self.last_ending = Ending(kind=Kind.LOCAL, code=Local.SOCKET_CLOSED)
        self.in_vain: Counter[Count] = Counter()
        self.opened_at: float | None = None
        self.not_before: float | None = None
        self.holds = False

    # --- the world ------------------------------------------------------------------------------

    @property
    def now(self) -> Instant:
        return Instant(
            wall=BEGAN + timedelta(seconds=self.seconds), monotonic=round(self.seconds, 6)
        )

    def give(self, given: Input) -> None:
        chances = Chances(jitter=self.jitter, outage_id=OutageId(f"outage {self.seconds}"))
        taken = step(self.state, given, self.now, chances)
        self.state = taken.state
        for effect in taken.effects:
            self.perform(effect)

    def perform(self, effect: Effect) -> None:
        match effect:
            case Acquire(held=held):
                assert held in (None, self.epoch), "only what was ours is claimed again"
                self.ask("acquire")
            case Connect(epoch=epoch):
                assert self.connection == "none", "at most one connection"
                assert epoch == self.epoch, "under the last epoch only"
                until = self.banned_until
                assert until is None or self.now.wall >= until, "no attempt before a ban is over"
                early = self.not_before is not None and self.seconds < self.not_before - 1e-6
                assert not early, "no reaction is faster than its schedule"
                self.connection = "connecting"
            case Drain():
                assert self.connection != "none"
                self.connection = "draining"
            case Archive(epoch=epoch, reason=reason):
                assert epoch == self.epoch
                assert POLICIES[reason].archive or reason is Cause.RESTART_REQUIRED
                self.ask("archive")
            case Destroy(epoch=epoch):
                assert epoch == self.epoch
                assert self.asked_to_log_out, "only an explicit logout destroys credentials"
                self.ask("destroy")
            case FindVersion():
                self.ask("version")
            case Disconnected(decided=decided, outage=outage):
                self.last_told_attention = decided.attention
                if decided.attention and outage is not None:
                    self.told_of.add(outage.id)
                if decided.verdict.policy.reaction is Reaction.WAIT_UNTIL:
                    assert decided.wait is not None
                    self.banned_until = self.now.wall + decided.wait
            case OutageOver(outage=outage):
                assert outage.end is not None
            case Stopped() | PingPhone() | PhoneAbsent():
                pass
            case _:
                pass

    def ask(self, what: str) -> None:
        self.under_way[what] += 1
        assert self.under_way[what] == 1 or what == "version", f"two jobs to {what} at once"

    def answer(self, what: str, given: Input) -> None:
        self.under_way[what] -= 1
        self.give(given)

    @initialize(person=st.booleans())
    def begins(self, person: bool) -> None:
        self.give(Start(by_person=person))

    # --- what people want -----------------------------------------------------------------------

    def a_person_acts(self) -> None:
        """No schedule holds a person up; only a ban does."""
        self.forgotten()
        self.not_before = None

    def forgotten(self) -> None:
        self.in_vain.clear()

    @rule(person=st.booleans())
    def start(self, person: bool) -> None:
        if person:
            self.a_person_acts()
        elif isinstance(self.state.connection, Held):
            self.not_before = None  # it has come to its end, and begins anew
        self.give(Start(by_person=person))

    @rule()
    def restart(self) -> None:
        self.a_person_acts()
        self.give(Restart())

    @rule()
    def stop(self) -> None:
        self.a_person_acts()
        self.give(Stop(by_person=True))

    @rule()
    def log_out(self) -> None:
        self.a_person_acts()
        self.asked_to_log_out = True
        self.give(LogOut())

    @rule(person=st.booleans())
    def the_service_ends_and_begins(self, person: bool) -> None:
        """What is under way ends with it; what was stored comes back."""
        self.dies(person=person)
        if person:
            self.a_person_acts()
        self.give(Start(by_person=person))

    @rule()
    def its_task_dies_and_it_is_stopped_before_there_is_another(self) -> None:
        """Nothing goes on, and what it was in when it died is over."""
        self.dies()
        self.a_person_acts()
        self.give(Stop(by_person=True))
        assert self.state.standing.outage is None
        assert isinstance(self.state.connection, Down)
        assert not self.under_way.total()

    def dies(self, *, person: bool = False) -> None:
        standing = Standing.parse(self.state.standing.serialize())
        assert standing == self.state.standing, "what is stored comes back whole"
        self.under_way.clear()
        self.connection = "none"
        self.opened_at = None
        self.asked_to_log_out = False
        if not self.holds:
            self.not_before = None
        self.state = new_session(
            self.state.session,
            paired=self.state.paired,
            standing=standing,
            absence=None if person else Absence(since=self.now.wall, local=Local.SERVICE_ENDED),
        )

    # --- what happens ---------------------------------------------------------------------------

    @precondition(lambda self: self.under_way["acquire"])
    @rule(answer=st.sampled_from(["ours", "ours", "ours", "away", "taken"]))
    def the_database_answers_a_claim(self, answer: str) -> None:
        match answer:
            case "ours":
                self.epoch += 1
                self.answer("acquire", Acquired(epoch=Epoch(self.epoch)))
            case "away":
                self.answer("acquire", NotAcquired(taken=False))
            case _:
                self.epoch += 1
                self.answer("acquire", NotAcquired(taken=True))

    @precondition(lambda self: self.under_way["archive"])
    @rule(ok=st.booleans())
    def the_credentials_are_archived(self, ok: bool) -> None:
        self.emptied(ok)
        self.answer("archive", Archived(ok=ok))

    def emptied(self, ok: bool) -> None:
        """What was counted of credentials that are gone says nothing of those that follow."""
        if ok:
            self.forgotten()
            self.not_before = None
            self.banned_until = None  # a code for whoever scans it is no attempt of that number

    @precondition(lambda self: self.under_way["destroy"])
    @rule(ok=st.booleans())
    def the_credentials_are_destroyed(self, ok: bool) -> None:
        self.emptied(ok)
        self.answer("destroy", Destroyed(ok=ok))

    @precondition(lambda self: self.under_way["version"])
    @rule(found=st.booleans())
    def a_version_is_looked_for(self, found: bool) -> None:
        self.answer("version", VersionFound(found=found))

    @precondition(lambda self: self.connection in ("connecting", "linked"))
    @rule()
    def the_login_is_complete(self) -> None:
        self.connection = "open"
        self.opened_at = self.seconds
        self.banned_until = None
        self.give(LoggedIn(at=self.now))

    @precondition(lambda self: self.connection == "connecting" and not self.state.paired)
    @rule()
    def a_phone_accepts(self) -> None:
        self.connection = "linked"
        self.forgotten()
        self.give(PhoneAccepted())

    @precondition(lambda self: self.connection == "open")
    @rule(ago=st.integers(0, 20 * 86_400))
    def the_phone_is_seen(self, ago: int) -> None:
        self.give(PhoneSeen(at=self.now.wall - timedelta(seconds=ago)))

    @precondition(lambda self: self.connection != "none")
    @rule(ending=endings)
    def the_connection_ends(self, ending: Ending) -> None:
        if self.state.paired and ending.code in OF_CODES:
            return  # a linked device shows no code
        unasked = self.connection != "draining"
        self.connection = "none"
        self.last_ending = ending
        self.waits(ending, unasked=unasked)
        self.give(Ended(ending=ending))

    @rule(times=st.integers(1, 6), opens=st.booleans(), ending=endings)
    def it_ends_in_the_same_way_again_and_again(
        self, times: int, opens: bool, ending: Ending
    ) -> None:
        """What chance alone would hardly bring about; also right after each login."""
        if self.state.paired and ending.code in OF_CODES:
            return  # a linked device shows no code
        self.last_ending = ending
        for _ in range(4 * times):
            if opens and self.connection in ("connecting", "linked"):
                self.the_login_is_complete()
            if not self.answered(ending):
                return

    def waits(self, ending: Ending, *, unasked: bool) -> None:
        """Note until when an end is to be waited out: each in a row for longer than the last."""
        opened_at, self.opened_at = self.opened_at, None
        if opened_at is not None and self.seconds >= opened_at + STABLE_AFTER.total_seconds():
            self.forgotten()
        policy = POLICIES[classify(ending)]
        if classify(ending) is Cause.PAIRING_EXPIRED:
            # Codes were shown for minutes: what befell it before says nothing any more.
            self.in_vain = Counter({policy.count: self.in_vain[policy.count]})
        self.not_before, self.holds = None, policy.holds
        schedule = policy.schedule
        if not unasked or schedule is None or self.asked_to_log_out:
            return  # a goodbye is no attempt in a row
        if policy.reaction in (Reaction.RETRY, Reaction.NEW_CODE):
            earlier = self.in_vain[policy.count]
            self.in_vain[policy.count] += 1
            wait = min(schedule.wait(earlier, 0.0), SLOWLY.wait(0, 0.0))
            self.not_before = self.seconds + wait.total_seconds()

    @rule(by=st.sampled_from(Relief))
    def what_many_wait_for_comes(self, by: Relief) -> None:
        """A wait may have lost its reason by it; no other is shortened."""
        waiting = self.state.connection
        if isinstance(waiting, Waiting) and by in POLICIES[waiting.cause].relief:
            self.not_before = None
        self.give(Relieved(by=by))

    @rule(seconds=st.sampled_from([0.0, 1.0, 31.0, 4000.0, 90_000.0]), jitter=st.floats(0, 1))
    def time_passes(self, seconds: float, jitter: float) -> None:
        """A shell wakes at each deadline on the way."""
        self.jitter = jitter
        end = self.seconds + seconds
        while (due := next_deadline(self.state)) is not None and due <= end:
            self.seconds = max(self.seconds, due)
            self.give(Due())
        self.seconds = end

    @rule()
    def the_next_deadline_comes(self) -> None:
        due = next_deadline(self.state)
        if due is not None:
            self.seconds = max(self.seconds, due)
            self.give(Due())

    # --- what always holds ----------------------------------------------------------------------

    @invariant()
    def the_session_is_not_forgotten(self) -> None:
        """Somebody or something will move it, unless it was asked to rest or waits for a person."""
        if isinstance(self.state.connection, Down | Held):
            return
        assert (
            next_deadline(self.state) is not None
            or self.under_way.total()
            or self.connection != "none"
        ), self.state

    @invariant()
    def who_waits_for_a_person_has_said_so(self) -> None:
        """An outage that nothing is done about was told as one that needs attention."""
        if isinstance(self.state.connection, Held) and not self.state.standing.held:
            assert self.last_told_attention

    @invariant()
    def a_session_at_rest_waits_for_nothing(self) -> None:
        if isinstance(self.state.connection, Down) and not self.under_way.total():
            assert next_deadline(self.state) is None

    @invariant()
    def a_session_at_rest_has_no_connection(self) -> None:
        assert self.connection == "none" or not isinstance(self.state.connection, Down | Held)

    def teardown(self) -> None:
        self.every_outage_ends_or_alerts()

    def every_outage_ends_or_alerts(self) -> None:
        """Let the world go on as it does now, all answers late but given: what becomes of it?"""
        outage = self.state.standing.outage
        if outage is None:
            return
        failing = self.last_ending
        if POLICIES[classify(failing)].reaction is Reaction.NONE:
            failing = Ending(kind=Kind.LOCAL, code=Local.SOCKET_CLOSED)
        for _ in range(MANY_STEPS):
            kept = self.state.standing.outage
            if kept is None or kept.id != outage.id:
                return
            if kept.id in self.told_of or kept.last_cause in _TOLD_AT_ONCE:
                return
            if not self.answered(failing):
                break
        assert isinstance(self.state.connection, Held), self.state

    def answered(self, failing: Ending) -> bool:
        """Let the next thing happen; False when nothing will."""
        if self.under_way["acquire"]:
            self.epoch += 1
            self.answer("acquire", Acquired(epoch=Epoch(self.epoch)))
        elif self.under_way["archive"]:
            self.emptied(ok=True)
            self.answer("archive", Archived(ok=True))
        elif self.under_way["destroy"]:
            self.emptied(ok=True)
            self.answer("destroy", Destroyed(ok=True))
        elif self.under_way["version"]:
            self.answer("version", VersionFound(found=True))
        elif self.connection != "none":
            unasked = self.connection != "draining"
            self.connection = "none"
            self.waits(failing, unasked=unasked)
            self.give(Ended(ending=failing))
        elif (due := next_deadline(self.state)) is not None:
            self.seconds = max(self.seconds, due)
            self.give(Due())
        elif isinstance(self.state.connection, Down) and self.state.standing.outage is not None:
            # Its connection said that it was asked to end, and nobody had asked: the monitor finds
            # a session without a task.
            self.give(Start(by_person=False))
        else:
            return False
        return True


_TOLD_AT_ONCE = (Cause.TEMPORARY_BAN, Cause.STORAGE)
"""Causes with an alert of their own, which need no count of attempts (`core.alert_rules`)."""

strays = st.one_of(
    st.just("acquired"),
    st.builds(NotAcquired, taken=st.just(value=False)),
    st.builds(Archived, ok=st.booleans()),
    st.builds(Destroyed, ok=st.booleans()),
    st.builds(VersionFound, found=st.booleans()),
    st.just(PhoneAccepted()),
    st.just(Due()),
)


class Strays(Lives):
    """The same lives, and now and then what nobody has asked for, or has heard twice."""

    @precondition(
        lambda self: (
            not self.under_way.total()
            and self.connection == "none"
            and not isinstance(self.state.connection, Claiming)
        )
    )
    @rule(stray=strays)
    def something_comes_late(self, stray: Input | str) -> None:
        given = Acquired(epoch=Epoch(self.epoch)) if isinstance(stray, str) else stray
        before = self.state
        self.give(given)
        assert self.state.connection == before.connection or isinstance(given, Due)


Lives.TestCase.settings = settings(
    max_examples=100, stateful_step_count=50, suppress_health_check=[HealthCheck.too_slow]
)
Strays.TestCase.settings = Lives.TestCase.settings


@pytest.mark.requirement("C3", "C5", "D2", "D5", "D6", "D9")
class TestLives(Lives.TestCase):
    """At most one connection, none in a ban or too soon; nothing forgotten, nothing destroyed."""


@pytest.mark.requirement("C3", "D5")
class TestStrays(Strays.TestCase):
    """What comes late or twice changes nothing of that."""
