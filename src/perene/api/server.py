"""The HTTP server: binds, says on which port, and stops without cutting an answer short."""

import asyncio
import contextlib
import socket
from collections.abc import Generator

import structlog
import uvicorn
from starlette.types import ASGIApp

from perene.api.client import ClientConnection
from perene.api.listening import listening_socket
from perene.api.streams import Streams
from perene.api.turns import Turns
from perene.core.clock import Clock, SystemClock
from perene.core.errors import RefusedToStart

log = structlog.stdlib.get_logger()


class _Server(uvicorn.Server):
    """Leaves the signals to the service, which has more to drain, and tells when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()
        self.servers = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class HttpServer:
    """Serves one application from `start` to `stop`, each called once.

    `clock` measures what a request costs the event loop, so it is the machine's but in tests;
    `connection` says how patient it is with its clients.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        port: int,
        streams: Streams,
        shutdown_timeout_s: float = 10,
        most_connections: int | None = None,
        clock: Clock | None = None,
        connection: type[ClientConnection] = ClientConnection,
    ) -> None:
        self.app = app
        self._host = host
        self._port = port
        self._streams = streams
        self._most_connections = most_connections
        self._server = _Server(
            uvicorn.Config(
                Turns(app, clock or SystemClock()),
                http=connection,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=max(1, round(shutdown_timeout_s)),
                ws="none",
            )
        )
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self) -> int:
        """Begin to serve and return the port; RefusedToStart when it cannot be had.

        Then wait for `ended`: a server that is gone cannot be asked how it is.
        """
        sock = listening_socket(self._host, self._port, most=self._most_connections)
        port = int(sock.getsockname()[1])
        self._task = asyncio.create_task(self._server.serve(sockets=[sock]), name="http")
        up = asyncio.create_task(self._server.up.wait())
        try:
            await asyncio.wait((self._task, up), return_when=asyncio.FIRST_COMPLETED)
        finally:
            up.cancel()
        if self._task.done():
            sock.close()
            await self._task  # raises what kept it from serving
            raise RefusedToStart("The HTTP server ended before it served.")
        return port

    async def ended(self) -> None:
        """Return when the server has been stopped; raise when it ends without that."""
        if self._task is None:
            raise RuntimeError("the server was not started")
        await asyncio.wait((self._task,))
        if not self._stopping:
            raise RuntimeError("the HTTP server ended by itself") from _failure(self._task)

    async def stop(self) -> None:
        """Take no more requests, end the event streams, finish the answers under way.

        Idempotent. What it may have failed of is for `ended` to tell.
        """
        serving = self._task is not None and not self._task.done()
        self._stopping = True
        self._streams.close()
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.wait((self._task,))
            if failure := _failure(self._task):
                if serving:
                    log.error("http_server_failed", exc_info=failure)
                # It has not come to let go of its port, and would leave callers without an answer.
                for listening in self._server.servers:
                    listening.close()


def _failure(task: asyncio.Task[None]) -> BaseException | None:
    return asyncio.CancelledError() if task.cancelled() else task.exception()
