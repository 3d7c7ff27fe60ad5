"""What is kept and told of a session's steps: one transaction, one log line, counts."""

from collections.abc import Sequence
from typing import Protocol

import structlog

from perene.core.causes import Cause
from perene.core.clock import Clock
from perene.core.errors import StaleEpoch, StorageError
from perene.core.events import Event
from perene.core.ids import Epoch, SessionId
from perene.core.machines.effects import Deed, Disconnected, OutageOver, Telling
from perene.core.machines.session import Step
from perene.core.machines.state import SessionState
from perene.core.outages import Outage, OutageEnd
from perene.core.unit import Unit
from perene.engine.ports import SessionStore
from perene.supervisor.telling import events_of, log_line

log = structlog.stdlib.get_logger()


class Watch(Protocol):
    """Counts what happens to sessions; returns at once and raises nothing."""

    def disconnected(self, cause: Cause) -> None: ...

    def recovered(self, seconds: float) -> None: ...

    def outage_ended(self, end: OutageEnd) -> None: ...


class OpensStore(Protocol):
    """Gives a session's store under an epoch."""

    def open_store(self, session: SessionId, epoch: Epoch) -> SessionStore: ...


class SessionKeeper:
    """Commits what a step changed, before anything is done for it."""

    def __init__(self, *, ownership: OpensStore, clock: Clock, watch: Watch) -> None:
        self._ownership = ownership
        self._clock = clock
        self._watch = watch

    async def keep(self, before: SessionState, taken: Step) -> None:
        """Log, count and commit a step; nothing is written for one that changed nothing."""
        tellings = [effect for effect in taken.effects if not isinstance(effect, Deed)]
        for telling in tellings:
            log_line(telling)
            self._count(telling)
        if tellings or before.standing != taken.state.standing:
            now = self._clock.now()
            events = [event for telling in tellings for event in events_of(telling, now)]
            await self._commit(taken.state, events, _outage(before, taken, tellings))

    async def _commit(
        self, state: SessionState, events: Sequence[Event], outage: Outage | None
    ) -> None:
        if state.epoch is None:
            return  # nothing may be written for a session that is not ours; the log has it
        unit = Unit(
            session=state.session,
            epoch=state.epoch,
            events=tuple(events),
            outage=outage,
            standing=state.standing.serialize(),
        )
        try:
            await self._ownership.open_store(state.session, state.epoch).submit(unit)
        except StaleEpoch:
            log.error("session_lost_to_another_owner")
        except StorageError as error:
            # The log has it; a session must not stay down because its end cannot be written.
            log.warning(
                "not_recorded", events=[event.type.value for event in events], reason=str(error)
            )

    def _count(self, telling: Telling) -> None:
        match telling:
            case Disconnected(decided=decided):
                self._watch.disconnected(decided.verdict.cause)
            case OutageOver(outage=outage) if outage.end is not None:
                self._watch.outage_ended(outage.end)
                if outage.end is OutageEnd.RECOVERED and outage.ended_at is not None:
                    lasted = outage.ended_at - outage.began_at
                    self._watch.recovered(lasted.total_seconds())
            case _:
                pass


def _outage(before: SessionState, taken: Step, tellings: Sequence[Telling]) -> Outage | None:
    """Return the outage whose row has changed: the one that is over, or the one that goes on."""
    for telling in tellings:
        if isinstance(telling, OutageOver):
            return telling.outage
    outage = taken.state.standing.outage
    return outage if outage != before.standing.outage else None
