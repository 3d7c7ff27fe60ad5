"""A Baileys client in a process of its own, as a witness: what it reads and sends is not our code.

    async with BaileysClient.started(url, tmp_path / "ana", push_name="Ana") as ana:
        await ana.connect()
        qr = await ana.wait("qr")
        …
        await ana.wait("open", since=qr.number)
        sent = await ana.send("551…@s.whatsapp.net", "hello")

Every line the client prints is recorded as an `Occurrence` with a running number. A wait looks at
what has been recorded after `since` first and then at what comes, so nothing is missed between two
lines of a test, and nothing ever sleeps. A wait that is not met fails with what did happen and with
the end of what Baileys logged.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.interop.node import node_command

SCRIPT = "baileys_client.mjs"

# A first login uploads 812 pre-keys, and the machine may be busy; a wait that is met ends at once.
PATIENCE_S = 30.0
# One line can hold 200 texts.
LINE_LIMIT = 1 << 20


class BaileysError(AssertionError):
    """A command failed inside Baileys, or the process ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One event of a client. `number` counts from 1 in the order in which they happened."""

    number: int
    kind: str
    facts: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.facts[name]


Store = Literal["multi-file", "memory"]


class BaileysClient:
    """One client process. Made by `started`; `restart` keeps the folder with its credentials."""

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        push_name: str,
        root_key: bytes | None = None,
        store: Store = "multi-file",
    ) -> None:
        self.folder = folder
        self.occurrences: list[Occurrence] = []
        self._options = {
            "url": url,
            "auth": str(folder / "auth"),
            "store": store,
            "pushName": push_name,
            "rootKey": root_key.hex() if root_key else None,
        }
        self._log = folder / "baileys.log"
        self._changed = asyncio.Condition()
        self._numbers = itertools.count(1)
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    @classmethod
    @asynccontextmanager
    async def started(
        cls,
        url: str,
        folder: Path,
        *,
        push_name: str,
        root_key: bytes | None = None,
        store: Store = "multi-file",
    ) -> AsyncGenerator["BaileysClient"]:
        """Start a client, not yet connected; it is stopped when the block ends."""
        client = cls(url, folder, push_name=push_name, root_key=root_key, store=store)
        await client.start()
        try:
            yield client
        finally:
            await client.stop()

    # --- the process ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the process and return once it takes commands."""
        self.folder.mkdir(parents=True, exist_ok=True)
        since = self.now
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *node_command(SCRIPT),
                json.dumps(self._options),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=LINE_LIMIT,
            )
        self._reader = asyncio.create_task(self._read())
        await self.wait("ready", since=since)

    async def stop(self) -> None:
        """Close the connection, write what is unsaved, and end the process."""
        process, reader = self._process, self._reader
        if process is None or reader is None:
            return
        try:
            if process.returncode is None and not reader.done():
                await self.call("quit")
            async with asyncio.timeout(PATIENCE_S):
                await process.wait()
        except (BaileysError, TimeoutError):
            await self.kill()
        self._process = None
        await reader

    async def kill(self) -> None:
        """End the process at once, as a crash does."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def restart(self) -> None:
        """Stop, and start again with the credentials of the same folder; not yet connected."""
        await self.stop()
        await self.start()

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            await self._take(json.loads(line))
        ended = BaileysError(f"the client's process has ended\n{self._tail()}")
        for waiting in self._replies.values():
            if not waiting.done():
                waiting.set_exception(ended)
        self._replies.clear()

    async def _take(self, line: dict[str, Any]) -> None:
        if "reply" in line:
            waiting = self._replies.pop(line["reply"])
            if not waiting.done():
                waiting.set_result(line)
            return
        kind = line.pop("event")
        async with self._changed:
            number = next(self._numbers)
            self.occurrences.append(Occurrence(number=number, kind=kind, facts=line))
            self._changed.notify_all()

    def _tail(self) -> str:
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        return f"Baileys logged:\n{text[-4000:]}"

    # --- what has happened ------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """The number of the last event so far, to wait for what comes after it."""
        return self.occurrences[-1].number if self.occurrences else 0

    def seen(self, kind: str, *, since: int = 0, **facts: object) -> list[Occurrence]:
        """Return the events of a kind with these facts after `since`, in order."""
        return [
            one
            for one in self.occurrences
            if one.kind == kind
            and one.number > since
            and all(one.facts.get(name) == value for name, value in facts.items())
        ]

    async def wait(self, kind: str, *, since: int = 0, **facts: object) -> Occurrence:
        """Return the first event of a kind with these facts after `since`."""
        found = await self.wait_many(kind, 1, since=since, **facts)
        return found[0]

    async def wait_many(
        self, kind: str, count: int, *, since: int = 0, **facts: object
    ) -> list[Occurrence]:
        """Return the events of a kind with these facts after `since`, once there are `count`."""

        def enough() -> bool:
            return len(self.seen(kind, since=since, **facts)) >= count

        await self._until(enough, f"{count} x {kind} {facts}")
        return self.seen(kind, since=since, **facts)

    async def wait_texts(self, texts: Iterable[str], *, since: int = 0) -> list[Occurrence]:
        """Return the messages of others after `since`, once each of `texts` is among them."""
        wanted = set(texts)

        def have_all() -> bool:
            return wanted <= {one["text"] for one in self.received(since=since)}

        await self._until(have_all, f"{len(wanted)} texts")
        return self.received(since=since)

    def received(self, *, since: int = 0) -> list[Occurrence]:
        """Return the text messages of others after `since`, as Baileys gave them to its user."""
        return self.seen("message", since=since, fromMe=False)

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            recent = "\n".join(f"  {one.kind} {one.facts}" for one in self.occurrences[-30:])
            name = self._options["pushName"]
            raise AssertionError(
                f"{name} waited for {what}; last events:\n{recent}\n{self._tail()}"
            ) from None

    # --- what it is told to do --------------------------------------------------------------------

    async def call(self, command: str, **arguments: object) -> dict[str, Any]:
        """Run one command and return its result; BaileysError in Baileys' words if it fails."""
        assert self._process is not None
        assert self._process.stdin is not None
        if self._reader is None or self._reader.done():
            raise BaileysError(f"the client's process has ended\n{self._tail()}")
        number = next(self._numbers)
        waiting: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._replies[number] = waiting
        line = json.dumps({"id": number, "do": command, **arguments})
        self._process.stdin.write(line.encode() + b"\n")
        async with asyncio.timeout(PATIENCE_S):
            reply = await waiting
        if "error" in reply:
            raise BaileysError(f"{command}: {reply['error']}\n{self._tail()}")
        return reply["result"]

    async def connect(self) -> None:
        """Open a socket; what comes of it shows in the events `qr`, `open` and `close`."""
        await self.call("connect")

    async def pair(self, scan: Callable[[str], Awaitable[object]]) -> None:
        """Link a new device: `scan` shows the QR text to a phone. Returns once logged in.

        Baileys restarts the stream on the server's 515 by itself, as its users' programs do.
        """
        since = self.now
        await self.connect()
        qr = await self.wait("qr", since=since)
        await scan(qr["qr"])
        await self.wait("open", since=since)
        await self.wait("caught-up", since=since)

    async def connect_open(self) -> None:
        """Connect with saved credentials, and return once logged in and caught up."""
        since = self.now
        await self.connect()
        await self.wait("open", since=since)
        await self.wait("caught-up", since=since)

    async def disconnect(self) -> None:
        """Close the socket; the process and its state stay."""
        await self.call("disconnect")

    async def send(self, to: str, text: str) -> str:
        """Send a text and return its message id, once Baileys has written it to the socket."""
        return (await self.call("send", to=to, text=text))["id"]

    async def send_all(self, to: str, texts: Iterable[str]) -> list[str]:
        """Send texts one after the other and return their ids."""
        return (await self.call("sendAll", to=to, texts=list(texts)))["ids"]

    async def me(self) -> Mapping[str, str]:
        """Return `id` (phone number with device) and `lid` of the paired device."""
        return (await self.call("state"))["me"]

    async def create_group(self, subject: str, participants: Iterable[str]) -> str:
        """Create a group and return its JID."""
        result = await self.call("createGroup", subject=subject, participants=list(participants))
        return result["id"]

    async def groups(self) -> dict[str, str]:
        """Return the subject of each group the account is in, by JID."""
        groups = (await self.call("listGroups"))["groups"]
        return {group["id"]: group["subject"] for group in groups}

    async def drop_ratchets(self, user: str | None = None) -> list[str]:
        """Lose the ratchets with a user's devices (with everyone without `user`)."""
        return (await self.call("dropRatchets", user=user))["dropped"]

    async def drop_sender_keys(self, group: str) -> list[str]:
        """Lose the sender keys that the members of a group have handed out."""
        return (await self.call("dropSenderKeys", group=group))["dropped"]
