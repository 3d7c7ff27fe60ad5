"""The edges of the Perene that runs in a world: each tells when something has passed there."""

from collections.abc import Callable
from dataclasses import dataclass

from perene.core.notices import Notice, Observer
from perene.core.sessions import Connection as State
from perene.supervisor.metrics import Metrics
from tests.support.network import Wire


class WatchedTransport:
    """A connection to the simulator that tells when the client has sent something."""

    def __init__(self, inner: Wire, tell: Callable[[], None]) -> None:
        self.inner = inner
        self._tell = tell

    async def send(self, data: bytes) -> None:
        await self.inner.send(data)
        self._tell()

    async def receive(self) -> bytes:
        return await self.inner.receive()

    async def close(self) -> None:
        await self.inner.close()
        self._tell()

    def watch_parts(self, call: Callable[[], None]) -> None:
        self.inner.watch_parts(call)


@dataclass(slots=True)
class WatchedObserver:
    """What a connection notifies, which tells that it has."""

    inner: Observer
    tell: Callable[[], None]

    def notice(self, notice: Notice) -> None:
        self.inner.notice(notice)
        self.tell()


class WatchedMetrics(Metrics):
    """Tells when a session is shown in another state.

    What has ended is shown before it is committed, what follows from it afterwards.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__()
        self._tell = tell

    def transition(self, before: State, after: State) -> None:
        super().transition(before, after)
        self._tell()
