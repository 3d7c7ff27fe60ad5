"""What can stand before a PostgreSQL server: a balancer, TLS, a pooler.

The server of the tests' wheel speaks no TLS, and no pooler comes in a wheel. Each front listens on
a port of loopback and leads to the server's Unix socket; it lives in a thread and a loop of its
own, so that what blocks can connect to it, and time that is not the machine's does not concern it.
"""

import asyncio
import contextlib
import ssl
import struct
import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter

# What a client asks in place of a version, and what both sides say; see "Message Formats" in
# PostgreSQL's documentation.
_SSL_REQUEST = 80877103
_GSS_REQUEST = 80877104
_ASKS = b"QS"
"""A query, or the end of a series of messages: the server answers, and says that it is ready."""
_READY, _IDLE, _END = b"Z", b"I", b"X"


class Front:
    """Passes on what comes, as a balancer does. Like a pooler, it lets no options through."""

    def __init__(self, upstream: Path) -> None:
        self.upstream = upstream
        self.loop = asyncio.new_event_loop()
        self.port = 0
        self.started = 0
        """Connections that came as far as their first word for the server."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self) -> asyncio.AbstractServer:
        """Begin to serve."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def cut(self) -> None:
        """End every connection, as for want of traffic. From another thread."""
        asyncio.run_coroutine_threadsafe(self._end(), self.loop).result()

    async def _end(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, reader: Reader, writer: Writer) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: Reader, writer: Writer) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError), contextlib.closing(writer):
            first = await self._greet(reader, writer)
            self.started += 1
            if b"\0options\0" in first:
                writer.write(_refusal("unsupported startup parameter: options"))
                return
            await self._talk(first, reader, writer)

    async def _greet(self, reader: Reader, writer: Writer) -> bytes:
        """Return the first word that is for the server."""
        while True:
            head = await reader.readexactly(8)
            length, code = struct.unpack("!II", head)
            if code == _SSL_REQUEST:
                await self._secure(writer)
            elif code == _GSS_REQUEST:
                writer.write(b"N")
            else:
                return head + await reader.readexactly(length - 8)

    async def _secure(self, writer: Writer) -> None:
        writer.write(b"N")

    async def _talk(self, first: bytes, reader: Reader, writer: Writer) -> None:
        back, forth = await asyncio.open_unix_connection(self.upstream)
        forth.write(first)
        with contextlib.closing(forth):
            ways = [asyncio.create_task(_pipe(*way)) for way in ((reader, forth), (back, writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)


class TlsFront(Front):
    """Speaks TLS while it has a certificate to show, and none else."""

    def __init__(self, upstream: Path) -> None:
        super().__init__(upstream)
        self._context: ssl.SSLContext | None = None
        self._wanting = False
        self.in_the_open = 0
        """Of those that started, connections without TLS."""

    def show(self, pair: tuple[Path, Path] | None, *, wants: Path | None = None) -> None:
        """Show this certificate to whoever connects next; `wants` is who must sign a client's."""
        context = None
        if pair is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*pair)
            if wants is not None:
                context.load_verify_locations(wants)
                # As PostgreSQL has it, which says in words that it wants one.
                context.verify_mode = ssl.CERT_OPTIONAL
        self._context, self._wanting = context, wants is not None

    async def _secure(self, writer: Writer) -> None:
        if self._context is None:
            writer.write(b"N")
            return
        writer.write(b"S")
        await writer.start_tls(self._context)

    async def _talk(self, first: bytes, reader: Reader, writer: Writer) -> None:
        self.in_the_open += writer.get_extra_info("ssl_object") is None
        if self._wanting and not writer.get_extra_info("peercert"):
            writer.write(_refusal("connection requires a valid client certificate"))
            return
        await super()._talk(first, reader, writer)


class SlowToNotice(Front):
    """Ends the server's side of a connection only when it ends itself, as a busy server does."""

    async def _talk(self, first: bytes, reader: Reader, writer: Writer) -> None:
        back, forth = await asyncio.open_unix_connection(self.upstream)
        forth.write(first)
        answers = asyncio.create_task(_pipe(back, writer))
        with contextlib.closing(forth):
            try:
                with contextlib.suppress(asyncio.IncompleteReadError, OSError):
                    while (message := await _message(reader))[0] != _END:
                        forth.write(message[1])
                await asyncio.Event().wait()
            finally:
                answers.cancel()
                await asyncio.gather(answers, return_exceptions=True)


class TransactionPooler(Front):
    """Gives each transaction a connection that is free: the one used last, or the one used first.

    While `by_session`, a client has one for as long as it stays.
    """

    def __init__(self, upstream: Path, *, in_turn: bool) -> None:
        super().__init__(upstream)
        self._in_turn = in_turn
        self.by_session = False
        self._free: deque[tuple[Reader, Writer]] = deque()

    async def _end(self) -> None:
        await super()._end()
        while self._free:
            self._free.pop()[1].close()

    async def _talk(self, first: bytes, reader: Reader, writer: Writer) -> None:
        if self.by_session:
            await super()._talk(first, reader, writer)
            return
        held, greeting = await self._open(first)
        self._free.append(held)
        writer.write(greeting)
        while True:
            kind, message = await _message(reader)
            if kind == _END:
                return
            back, forth = await self._take(first)
            try:
                forth.write(message)
                while kind not in _ASKS or await _answer(back, writer) != _IDLE:
                    kind, message = await _message(reader)
                    forth.write(message)
            except BaseException:  # the client left in the middle
                forth.close()
                raise
            self._free.append((back, forth))

    async def _open(self, first: bytes) -> tuple[tuple[Reader, Writer], bytes]:
        back, forth = await asyncio.open_unix_connection(self.upstream)
        forth.write(first)
        greeting = b""
        while True:
            kind, message = await _message(back)
            greeting += message
            if kind == _READY:
                return (back, forth), greeting

    async def _take(self, first: bytes) -> tuple[Reader, Writer]:
        if not self._free:
            return (await self._open(first))[0]
        return self._free.popleft() if self._in_turn else self._free.pop()


async def _message(reader: Reader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    return head[:1], head + await reader.readexactly(int.from_bytes(head[1:]) - 4)


async def _answer(back: Reader, writer: Writer) -> bytes:
    """Pass on an answer; return the state of the transaction after it."""
    while True:
        kind, message = await _message(back)
        writer.write(message)
        if kind == _READY:
            return message[-1:]


async def _pipe(reader: Reader, writer: Writer) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


def _refusal(text: str) -> bytes:
    fields = f"SFATAL\0VFATAL\0C08P01\0M{text}\0\0".encode()
    return b"E" + struct.pack("!I", len(fields) + 4) + fields


def through(front: Front, url: str) -> str:
    """Return the address by which a database is reached through a front."""
    local = make_url(url).set(host="127.0.0.1", port=front.port, query={})
    return local.render_as_string(hide_password=False)


@contextmanager
def standing(front: Front) -> Generator[None]:
    """Run a front until the block ends."""
    thread = threading.Thread(target=front.loop.run_forever)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(front.listen(), front.loop).result()
        try:
            yield
        finally:
            front.loop.call_soon_threadsafe(server.close)
            front.cut()
    finally:
        front.loop.call_soon_threadsafe(front.loop.stop)
        thread.join()
        front.loop.close()
