"""A session's life in pure time, as the tests of its machines tell it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from perene.core.causes import Cause, Ending
from perene.core.clock import Instant
from perene.core.ids import Epoch, SessionId
from perene.core.machines.effects import Effect
from perene.core.machines.inputs import Acquired, Due, Ended, Input, LoggedIn, Start
from perene.core.machines.session import new_session, next_deadline, step
from perene.core.machines.state import Absence, Chances
from perene.core.outages import Outage, OutageId
from perene.core.policy import POLICIES, STABLE_AFTER, Policy
from perene.core.standing import Standing

BEGAN = datetime(2026, 11, 21, tzinfo=UTC)

E = TypeVar("E", bound=Effect)

_RESUMED = Start(by_person=False)


class Life:
    """One session on a clock of its own, linked unless told otherwise.

    Nothing happens to it, and nothing that it asks for is done, but by these methods. `done` is all
    that it asked for and told, with the time that had passed by then.
    """

    def __init__(
        self, *inputs: Input, paired: bool = True, policies: Mapping[Cause, Policy] = POLICIES
    ) -> None:
        self.passed = timedelta()
        self.clock_off = timedelta()
        """How far its wall clock is ahead of what has passed since it began."""
        self.epochs = 0
        self.done: list[tuple[timedelta, Effect]] = []
        self.state = new_session(SessionId("ana"), paired=paired)
        self._policies = policies
        self.give(*inputs)

    @property
    def now(self) -> Instant:
        """The present by its clocks."""
        return Instant(
            wall=BEGAN + self.passed + self.clock_off, monotonic=self.passed.total_seconds()
        )

    @property
    def outage(self) -> Outage:
        """The outage that goes on."""
        assert self.state.standing.outage is not None
        return self.state.standing.outage

    def told(self, kind: type[E]) -> Sequence[E]:
        """Return what it asked for or told of one kind."""
        return [effect for _, effect in self.done if isinstance(effect, kind)]

    def give(self, *inputs: Input) -> Sequence[Effect]:
        """Let these happen at this moment; return what followed from the last of them."""
        effects: Sequence[Effect] = ()
        for given in inputs:
            chances = Chances(
                jitter=0.5, outage_id=OutageId(f"{self.passed}"), policies=self._policies
            )
            taken = step(self.state, given, self.now, chances)
            self.state, effects = taken.state, taken.effects
            self.done += [(self.passed, effect) for effect in effects]
        return effects

    def granted(self) -> Sequence[Effect]:
        """Let it have the fresh epoch that it asked for."""
        self.epochs += 1
        return self.give(Acquired(epoch=Epoch(self.epochs)))

    def opened(self) -> None:
        """Let it have its epoch, and log in."""
        self.granted()
        self.give(LoggedIn(at=self.now))

    def stays_up(self) -> None:
        """Let it open, and stay so for long enough."""
        self.opened()
        self.live(STABLE_AFTER)

    def lost(self, ending: Ending) -> Sequence[Effect]:
        """End its connection."""
        return self.give(Ended(ending=ending))

    def comes_due(self) -> None:
        """Wait for its next deadline."""
        due = next_deadline(self.state)
        assert due is not None
        self.passed = max(self.passed, timedelta(seconds=due))
        self.give(Due())

    def fails(self, ending: Ending, *, times: int) -> None:
        """End its connection so again and again; it waits, and begins another, after each."""
        for _ in range(times):
            self.lost(ending)
            self.comes_due()
            self.granted()

    def live(self, time: timedelta) -> None:
        """Let time pass, deadline by deadline."""
        end = self.passed + time
        while (due := next_deadline(self.state)) is not None and due <= end.total_seconds():
            self.comes_due()
        self.passed = end

    def begins_again(self, absence: Absence | None = None, wanted: Input = _RESUMED) -> None:
        """Let another run of the service take it up: only what is stored is known."""
        self.state = new_session(
            self.state.session,
            paired=self.state.paired,
            standing=Standing.parse(self.state.standing.serialize()),
            absence=absence,
        )
        self.give(wanted)
