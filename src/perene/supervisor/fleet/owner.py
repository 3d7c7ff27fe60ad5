"""What sessions need of the store and of the service, in the words of their tasks."""

from collections.abc import Callable, Mapping
from typing import Protocol

from perene.core.causes import Cause
from perene.core.clock import Clock
from perene.core.events import Event, EventType, Json
from perene.core.ids import Epoch, EventId, SessionId
from perene.core.policy import Policy
from perene.engine.ports import SessionStore
from perene.supervisor.session.ports import ClientVersion
from perene.supervisor.storage.committer import Committer
from perene.supervisor.storage.store import OpenStore, Sessions


class Versions(Protocol):
    """Which client version is presented, and how a newer one is found."""

    def current(self) -> ClientVersion: ...

    async def renew(self) -> None: ...

    async def refresh(self, refused: ClientVersion) -> ClientVersion | None: ...


class StoreOwner:
    """Owns sessions in the store: implements `session.ports.Ownership`.

    `ring` is called when an event was committed that no unit carried.
    """

    def __init__(
        self,
        *,
        store: Sessions,
        open_store: OpenStore,
        committer: Committer,
        clock: Clock,
        policies: Mapping[Cause, Policy],
        versions: Versions | None,
        ring: Callable[[], None],
    ) -> None:
        self._store = store
        self._open_store = open_store
        self._committer = committer
        self._clock = clock
        self._policies = policies
        self._versions = versions
        self._ring = ring

    async def acquire(self, session: SessionId, held: Epoch | None) -> Epoch:
        return await self._store.acquire(session, held)

    def open_store(self, session: SessionId, epoch: Epoch) -> SessionStore:
        return self._open_store(session, epoch, self._committer.lane())

    async def archive_credentials(
        self, session: SessionId, epoch: Epoch, reason: Cause, *, told: EventId
    ) -> None:
        payload: dict[str, Json] = {
            "cause": reason.value,
            "sentence": self._policies[reason].sentence,
        }
        now = self._clock.now()
        event = Event(type=EventType.SESSION_NEEDS_PAIRING, at=now, payload=payload, id=told)
        await self._store.archive_credentials(session, epoch, reason.value, events=(event,))
        self._ring()

    async def destroy_credentials(
        self, session: SessionId, epoch: Epoch, *, still_linked: bool, told: EventId
    ) -> None:
        payload: dict[str, Json] = {"still_linked": still_linked}
        now = self._clock.now()
        event = Event(type=EventType.SESSION_LOGGED_OUT, at=now, payload=payload, id=told)
        await self._store.destroy_credentials(session, epoch, events=(event,))
        self._ring()

    def presented_version(self) -> ClientVersion | None:
        return None if self._versions is None else self._versions.current()

    async def renew_version(self) -> None:
        if self._versions is not None:
            await self._versions.renew()

    async def find_version(self, refused: ClientVersion | None) -> bool:
        if self._versions is None or refused is None:
            return False
        return await self._versions.refresh(refused) is not None
