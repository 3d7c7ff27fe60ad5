"""A Baileys client in a process of its own, as a witness: what it reads and sends is not our code.

    async with BaileysClient.started(url, tmp_path / "ana", push_name="Ana") as ana:
        await ana.pair(show_to_the_phone)
        before = ana.events.now
        await ana.send("551…@s.whatsapp.net", "hello")
        await ana.events.wait("message", since=before, text="hello back")

Its events are those of `tests/node/baileys_client.mjs`, by the same names.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from tests.interop.node import node_command
from tests.support.record import PATIENCE_S, Occurrence, Record

SCRIPT = "baileys_client.mjs"

# One line of the protocol can hold 200 texts.
LINE_LIMIT_BYTES = 1 << 20

Store = Literal["multi-file", "memory"]


class BaileysError(AssertionError):
    """A command failed inside Baileys, or its process ended."""


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
        adv_secret: str | None = None,
        any_certificate: bool = False,
    ) -> None:
        self.events = Record(push_name, self._log_tail)
        self._folder = folder
        self._log = folder / "baileys.log"
        self._options = {
            "url": url,
            "auth": str(folder / "auth"),
            "store": store,
            "pushName": push_name,
            "rootKey": root_key.hex() if root_key else None,
            "advSecret": adv_secret,
            "anyCertificate": any_certificate,
        }
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
        adv_secret: str | None = None,
        any_certificate: bool = False,
    ) -> AsyncGenerator["BaileysClient"]:
        """Start a client, not yet connected; it is stopped when the block ends.

        `store` "memory" forgets the credentials with the process. `adv_secret` is in base64.
        """
        client = cls(
            url,
            folder,
            push_name=push_name,
            root_key=root_key,
            store=store,
            adv_secret=adv_secret,
            any_certificate=any_certificate,
        )
        await client.start()
        try:
            yield client
        finally:
            await client.stop()

    # --- the process ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the process and return once it takes commands."""
        self._folder.mkdir(parents=True, exist_ok=True)
        since = self.events.now
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *node_command(SCRIPT),
                json.dumps(self._options),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=LINE_LIMIT_BYTES,
            )
        self._reader = asyncio.create_task(self._read(self._process))
        await self.events.wait("ready", since=since)

    async def stop(self) -> None:
        """Close the connection, write what is unsaved, and end the process."""
        process, reader = self._process, self._reader
        if process is None or reader is None:
            return
        try:
            await self.call("quit")
            async with asyncio.timeout(PATIENCE_S):
                await process.wait()
        except (BaileysError, TimeoutError):
            await self.kill()
        await reader
        self._process = None

    async def kill(self) -> None:
        """End the process at once, as a crash does."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def restart(self) -> None:
        """Stop, and start again with the credentials of the same folder; not yet connected."""
        await self.stop()
        await self.start()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            said = json.loads(line)
            if "event" in said:
                await self.events.add(said.pop("event"), said)
            else:
                waiting = self._replies.pop(said["reply"])
                if not waiting.done():  # a call that gave up has cancelled it
                    waiting.set_result(said)
        for waiting in self._replies.values():
            if not waiting.done():
                waiting.set_exception(BaileysError(f"the process ended. {self._log_tail()}"))
        self._replies.clear()

    def _log_tail(self) -> str:
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        return f"Baileys logged:\n{text[-4000:]}"

    # --- what it is told --------------------------------------------------------------------------

    async def call(self, command: str, **arguments: object) -> dict[str, Any]:
        """Run one command and return its result; BaileysError, in Baileys' words, if it fails."""
        process, reader = self._process, self._reader
        if process is None or process.stdin is None or reader is None or reader.done():
            raise BaileysError(f"{command}: the process has ended. {self._log_tail()}")
        if "id" in arguments or "do" in arguments:
            raise TypeError("`id` and `do` belong to the protocol")
        number = next(self._numbers)
        self._replies[number] = asyncio.get_running_loop().create_future()
        line = json.dumps({"id": number, "do": command, **arguments})
        process.stdin.write(line.encode() + b"\n")
        async with asyncio.timeout(PATIENCE_S):
            reply = await self._replies[number]
        if "error" in reply:
            raise BaileysError(f"{command}: {reply['error']}. {self._log_tail()}")
        return reply["result"]

    async def connect(self) -> None:
        """Open a socket; what comes of it shows in the events `qr`, `open` and `close`."""
        await self.call("connect")

    async def connect_and_catch_up(self) -> None:
        """Connect with saved credentials; return once logged in and told that nothing is left."""
        since = self.events.now
        await self.connect()
        await self._logged_in(since)

    async def pair(self, scan: Callable[[str], object]) -> None:
        """Link a new device: `scan` shows the QR text to a phone. Returns once logged in.

        The client opens a new stream on the server's 515 by itself.
        """
        since = self.events.now
        await self.connect()
        qr = await self.events.wait("qr", since=since)
        scan(qr["qr"])
        await self._logged_in(since)

    async def _logged_in(self, since: int) -> None:
        await self.events.wait("open", since=since)
        await self.events.wait("caught-up", since=since)

    async def disconnect(self) -> None:
        """Close the socket; the process and its state stay."""
        await self.call("disconnect")

    async def me(self) -> Mapping[str, str]:
        """Return `id` (phone number, device and server) and `lid` of the paired device."""
        return (await self.call("state"))["me"]

    async def phone_number(self) -> str:
        """Return the address of the account by its phone number, without device."""
        user, _, server = (await self.me())["id"].partition("@")
        return f"{user.partition(':')[0]}@{server}"

    async def send(self, to: str, text: str) -> str:
        """Send a text and return its message id, once Baileys has written it to the socket."""
        return (await self.call("send", to=to, text=text))["id"]

    async def send_all(self, to: str, texts: Iterable[str]) -> Sequence[str]:
        """Send texts one after the other and return their ids."""
        return (await self.call("sendAll", to=to, texts=list(texts)))["ids"]

    async def read(self, message: Occurrence) -> None:
        """Open the chat of a message that was received, so that its sender sees it was read."""
        await self.call("read", chat=message["chat"], message=message["id"])

    async def create_group(self, subject: str, participants: Iterable[str]) -> str:
        """Create a group and return its JID."""
        people = list(participants)
        return (await self.call("createGroup", subject=subject, participants=people))["id"]

    async def groups(self) -> Mapping[str, str]:
        """Return the subject of each group that the account is in, by JID."""
        groups = (await self.call("listGroups"))["groups"]
        return {group["id"]: group["subject"] for group in groups}

    async def drop_ratchets(self, user: str | None = None) -> Sequence[str]:
        """Lose the ratchets with a user's devices (with everyone's without `user`)."""
        return (await self.call("dropRatchets", user=user))["dropped"]

    async def drop_sender_keys(self, group: str) -> Sequence[str]:
        """Lose the sender keys that the members of a group have handed out."""
        return (await self.call("dropSenderKeys", group=group))["dropped"]

    # --- what it has read -------------------------------------------------------------------------

    def received(self, *, since: int = 0) -> Sequence[Occurrence]:
        """Return the text messages of others after `since`, as Baileys gave them to its user."""
        return self.events.seen("message", since=since, fromMe=False)

    async def receive(self, count: int, *, since: int = 0) -> Sequence[Occurrence]:
        """Return the text messages of others after `since`, once there are `count`."""
        return await self.events.wait_many("message", count, since=since, fromMe=False)
