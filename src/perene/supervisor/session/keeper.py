"""What is kept and told of a session's steps: one transaction, one log line, counts."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import structlog

from perene.core.errors import StaleEpoch, StorageError
from perene.core.events import Event
from perene.core.ids import Epoch
from perene.core.machines.effects import Deed, Disconnected, OutageOver, Telling
from perene.core.machines.session import Step
from perene.core.machines.state import Down, Open, SessionState, is_asking
from perene.core.outages import Outage, OutageEnd
from perene.core.schedules import Growth, Schedule
from perene.core.unit import Unit
from perene.supervisor.session.means import Means
from perene.supervisor.session.telling import events_of, log_line

log = structlog.stdlib.get_logger()


_UNSAVED = 50
"""How many units are kept for a database that comes back; the oldest go first."""

_AGAIN = Schedule(growth=Growth.FIBONACCI, step=timedelta(seconds=10), cap=timedelta(minutes=1))
"""Between two tries to save them while nothing happens to the session: its next claim mostly does
it before."""


class SessionKeeper:
    """Commits what a step changed, before anything is done for it.

    What a database that is away could not take is kept, in order, and goes before what comes next:
    whoever reads the events finds each loss of a connection beside its recovery. `stored` is the
    epoch that the session had when this was made.
    """

    def __init__(self, means: Means, *, stored: Epoch) -> None:
        self._ownership = means.ownership
        self._last_epoch = stored
        self._clock = means.clock
        self._metrics = means.metrics
        self._unsaved: deque[Unit] = deque(maxlen=_UNSAVED)
        self._failures = 0
        self.again_at: float | None = None
        """The monotonic second at which `save` is to be called, None for not as things are."""

    def owes(self, state: SessionState) -> bool:
        """Tell whether something waits for the answer to a question that is under way."""
        return bool(self._unsaved) and is_asking(state)

    async def keep(self, before: SessionState, taken: Step) -> None:
        """Log, count and commit a step; nothing is written for one that changed nothing."""
        owned_anew = before.epoch != taken.state.epoch
        self._last_epoch = taken.state.epoch or self._last_epoch
        tellings = [effect for effect in taken.effects if not isinstance(effect, Deed)]
        for telling in tellings:
            log_line(telling)
            self._count(telling, taken.state)
        now = self._clock.now()
        events = [event for telling in tellings for event in events_of(telling, now)]
        if events or before.standing != taken.state.standing:
            self._unsaved.append(_unit(taken.state, events, _outage(before, taken, tellings)))
        elif not owned_anew and not isinstance(taken.state.connection, Down):
            return  # the database has not shown that it is back
        if is_asking(before) and is_asking(taken.state):
            return  # the answer may have made our epoch an old one; what comes is written under it
        await self._save(taken.state)

    async def save(self, state: SessionState) -> None:
        """Save what the database did not take before: of a session at rest nothing else may come.

        While the session is being claimed, the answer brings the epoch to write it under.
        """
        self.again_at = None
        if not is_asking(state):
            await self._save(state)

    async def _save(self, state: SessionState) -> None:
        epoch = state.epoch
        if epoch is None and isinstance(state.connection, Down):
            # Nobody will ask for another epoch: it was not ours in this run, or the database has
            # not said whether it still is.
            epoch = self._last_epoch
        if epoch is not None:
            await self._commit(epoch)

    async def _commit(self, epoch: Epoch) -> None:
        while self._unsaved:
            unit = replace(self._unsaved[0], epoch=epoch)
            try:
                await self._ownership.open_store(unit.session, epoch).submit(unit)
            except StaleEpoch:
                log.error("session_lost_to_another_owner")
            except StorageError as error:
                # A session must not stay down because its end cannot be written.
                log.warning("not_recorded_yet", units=len(self._unsaved), reason=str(error))
                wait = _AGAIN.wait(self._failures, 0.5)
                self._failures += 1
                self.again_at = self._clock.monotonic() + wait.total_seconds()
                return
            self._unsaved.popleft()
        self._failures, self.again_at = 0, None

    def _count(self, telling: Telling, after: SessionState) -> None:
        match telling:
            case Disconnected(decided=decided):
                self._metrics.disconnected(decided.verdict.cause)
            case OutageOver(outage=outage) if outage.end is not None:
                self._metrics.outage_ended(outage.end)
                if outage.end is OutageEnd.RECOVERED and isinstance(after.connection, Open):
                    # It ends once the connection has proved stable, which it was open for already.
                    lasted = after.connection.since.wall - outage.began_at
                    self._metrics.recovered(lasted.total_seconds())
            case _:
                pass


def _unit(state: SessionState, events: Sequence[Event], outage: Outage | None) -> Unit:
    return Unit(
        session=state.session,
        epoch=Epoch(0),  # the one that it is committed under is set then
        events=tuple(events),
        outage=outage,
        standing=state.standing.serialize(),
    )


def _outage(before: SessionState, taken: Step, tellings: Sequence[Telling]) -> Outage | None:
    """Return the outage whose row has changed: the one that is over, or the one that goes on."""
    for telling in tellings:
        if isinstance(telling, OutageOver):
            return telling.outage
    outage = taken.state.standing.outage
    return outage if outage != before.standing.outage else None
