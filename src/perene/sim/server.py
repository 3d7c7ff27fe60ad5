"""Sockets: the WebSocket and the admin API on one port.

uvicorn's HTTP/1.1 protocol reads requests; one that asks for an upgrade is handed to a `WebSocket`.
"""

import asyncio
import socket
from typing import Any, Final

import uvicorn
from uvicorn.server import ServerState

from perene.sim.admin import admin_app
from perene.sim.certificate import self_signed, server_context
from perene.sim.simulator import Simulator
from perene.sim.web_socket import PATH, WebSocket

_ANY: Final = "::"
_ANSWERS_END_WITHIN_S: Final = 1.0


class SimServer:
    """A simulator that listens."""

    def __init__(
        self,
        simulator: Simulator,
        server: asyncio.Server,
        sockets: set[WebSocket],
        state: ServerState,
        *,
        host: str,
        tls: bool,
    ) -> None:
        self.simulator = simulator
        self._server = server
        self._sockets = sockets
        self._state = state
        self._timer: asyncio.TimerHandle | None = None
        self._host = f"[{host}]" if ":" in host else host
        self._scheme = "s" if tls else ""
        self.port: int = server.sockets[0].getsockname()[1]
        simulator.service.queries.account.media_host = f"{self._host}:{self.port}"

    @property
    def ws_url(self) -> str:
        """Where clients connect."""
        return f"ws{self._scheme}://{self._host}:{self.port}{PATH}"

    @property
    def admin_url(self) -> str:
        """Where the admin API begins."""
        return f"http{self._scheme}://{self._host}:{self.port}/admin"

    @property
    def root_key(self) -> bytes:
        """The public root key that clients must trust."""
        return self.simulator.root_key

    def arm(self) -> None:
        """Wake up when the simulator next has something to do."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.simulator.next_deadline
        if deadline is not None:
            delay = (deadline - self.simulator.world.now()).total_seconds()
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(delay, 0.0), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self.simulator.run_due()
        self.arm()

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        self.simulator.world.agenda.on_timer = None
        if self._timer is not None:
            self._timer.cancel()
        self._server.close()
        for one in list(self._sockets):
            one.abort()
        for request in list(self._state.connections):
            request.shutdown()
        if answering := list(self._state.tasks):
            # Whoever has read all of a file has its answer; the file is closed a moment later.
            await asyncio.wait(answering, timeout=_ANSWERS_END_WITHIN_S)
        await self._server.wait_closed()


async def serve(
    simulator: Simulator, host: str = "127.0.0.1", port: int = 0, *, tls: bool = False
) -> SimServer:
    """Let a simulator listen: WebSocket at `/ws/chat`, admin API below `/admin`, and `/sw.js`.

    Port 0 takes a free one. The host "::" stands for every address, those of IPv4 included. With
    `tls`, under a certificate made for the occasion.
    """
    sockets: set[WebSocket] = set()

    class Socket(WebSocket):
        """A WebSocket of this simulator; uvicorn makes one for each upgrade."""

        def __init__(
            self, config: uvicorn.Config, server_state: ServerState, app_state: dict[str, Any]
        ) -> None:
            super().__init__(simulator, sockets)

    config = uvicorn.Config(
        admin_app(simulator),
        http="h11",
        ws=Socket,
        lifespan="off",
        log_config=None,
        access_log=False,
    )
    config.load()
    state = ServerState()
    make = config.http_protocol_class
    loop = asyncio.get_running_loop()
    context = None
    if tls:
        simulator.certificate, private = self_signed(host)
        context = server_context(simulator.certificate, private)

    def protocol() -> asyncio.Protocol:
        return make(config=config, server_state=state, app_state={})  # pyright: ignore[reportCallIssue]  # uvicorn's own signature

    everywhere = _everywhere(port) if host == _ANY else None
    if everywhere is None:
        server = await loop.create_server(protocol, host, port, ssl=context)
    else:
        server = await loop.create_server(protocol, sock=everywhere, ssl=context)
    listening = SimServer(simulator, server, sockets, state, host=host, tls=tls)
    simulator.world.agenda.on_timer = listening.arm
    listening.arm()
    return listening


def _everywhere(port: int) -> socket.socket | None:
    """Return a socket of both IPv6 and IPv4, as asyncio makes none; None where there is none."""
    if not socket.has_dualstack_ipv6():
        return None
    return socket.create_server((_ANY, port), family=socket.AF_INET6, dualstack_ipv6=True)
