"""A real socket whose other end takes nothing more: nobody has closed it, and yet it is dead."""

import asyncio
from urllib.parse import urlsplit

import pytest

from perene.core.causes import Local
from perene.core.clock import SystemClock
from perene.core.notices import Notice
from perene.engine.channel import Channel
from perene.engine.client_payload import ClientIdentity, client_payload
from perene.engine.credentials import Credentials
from perene.engine.endpoint import Endpoint
from perene.engine.errors import ConnectionEnded
from perene.engine.intake import Intake
from perene.engine.keepalive import ANSWER_WITHIN_S, Keepalive
from perene.engine.queries import Queries
from perene.engine.transport import SocketTransport
from perene.sim import Simulator, serve
from perene.wire.node import Node
from tests.support.listening import listening
from tests.support.virtual_clock import VirtualClock

_PIECE = 64 * 1024
MORE_THAN_SOCKETS_HOLD = [Node("message", {}, bytes(2**20))] * 64


class Relay:
    """Carries bytes to a server and back, until it stops to."""

    def __init__(self, port: int) -> None:
        self.stops = asyncio.Event()
        self.ends = asyncio.Event()
        self._port = port

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        pumps = [
            asyncio.create_task(self._pump(reader, far_writer)),
            asyncio.create_task(self._pump(far_reader, writer)),
        ]
        await self.stops.wait()
        for pump in pumps:
            pump.cancel()
        await self.ends.wait()
        far_writer.close()
        writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_PIECE):
            writer.write(data)
            await writer.drain()


class Nobody:
    """An observer."""

    def notice(self, notice: Notice) -> None:
        raise AssertionError(f"nothing was to be noticed: {notice}")


@pytest.mark.requirement("C2", "C3")
async def test_a_socket_that_takes_nothing_more_is_found_by_the_keepalive() -> None:
    server = await serve(Simulator(seed=1), "127.0.0.1", 0)
    relay, clock, own = Relay(server.port), VirtualClock(), Credentials.create()
    async with listening(relay.answer) as port:
        path = urlsplit(server.ws_url).path
        channel = await Channel.open(
            await SocketTransport.dial(Endpoint(url=f"ws://127.0.0.1:{port}{path}")),
            static=own.noise,
            root_key=server.root_key,
            payload=client_payload(own, ClientIdentity(version=(2, 3000, 1))),
            clock=SystemClock(),
            routing_info=None,
            timeout_s=20,
        )
        queries = Queries(channel.send, 60, clock)
        keepalive = Keepalive(
            queries=queries,
            clock=clock,
            observer=Nobody(),
            reading=Intake(channel, queries, max_waiting=10),
            writing=channel,
            silence_s=10,
            first_silence_s=10,
            heartbeat_s=30,
        )
        relay.stops.set()
        sending = asyncio.create_task(channel.send(*MORE_THAN_SOCKETS_HOLD))
        living = asyncio.create_task(keepalive.run())
        await clock.until_asleep(10)
        await clock.advance(10)
        await clock.until_asleep(ANSWER_WITHIN_S)
        await clock.advance(ANSWER_WITHIN_S)
        with pytest.raises(ConnectionEnded) as caught:
            await living
        assert caught.value.ending.code == Local.HALF_OPEN
        assert not sending.done(), "it would have waited for ever"
        sending.cancel()
        relay.ends.set()
        await channel.close()
    await server.close()
