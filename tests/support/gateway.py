"""`perene serve` as a process of its own, started, stopped, killed and asked as its users do.

    async with Gateway.started(folder, endpoint=sim.url, root_key=sim.root_key) as gateway:
        await gateway.create_session("ana")
        await sim.scan(await gateway.qr_text("ana"))
        await gateway.events.wait("session.connected", session="ana")
        await gateway.send("ana", to="551…@s.whatsapp.net", text="hello", key="greeting")

Its events are read from the event stream and recorded by type, with `session` and the members of
the payload as facts. After a restart the stream is taken up where it ended, by `Last-Event-ID`.
"""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.record import PATIENCE_S, Record

_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")
_KEY = re.compile(r"\b(pk_[A-Za-z0-9_-]+)")


class Gateway:
    """One service on one data folder. The API key of the first start is kept for later ones."""

    def __init__(self, folder: Path, *, endpoint: str, root_key: bytes, **settings: str) -> None:
        self.events = Record("Perene", self._log_tail)
        self.folder = folder
        self._log = folder / "perene.log"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PERENE_")},
            "PERENE_DATA_DIR": str(folder / "data"),
            "PERENE_PORT": "0",
            "PERENE_ENDPOINT": endpoint,
            "PERENE_NOISE_ROOT_KEY": root_key.hex(),
            **{f"PERENE_{name.upper()}": value for name, value in settings.items()},
        }
        self._key: str | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._http: httpx.AsyncClient | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._last_event_id: str | None = None

    @classmethod
    @asynccontextmanager
    async def started(
        cls, folder: Path, *, endpoint: str, root_key: bytes, **settings: str
    ) -> AsyncGenerator["Gateway"]:
        """Start a service; it is stopped when the block ends."""
        gateway = cls(folder, endpoint=endpoint, root_key=root_key, **settings)
        await gateway.start()
        try:
            yield gateway
        finally:
            await gateway.stop()

    # --- the process ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the process and return once it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                str(Path(sys.executable).parent / "perene"),
                "serve",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=self._environment,
            )
        try:
            async with asyncio.timeout(PATIENCE_S):
                port = await self._read_greeting(self._process)
        except (TimeoutError, EOFError):
            raise AssertionError(f"perene serve did not start. {self._log_tail()}") from None
        self._http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            headers={"X-Api-Key": self._key or ""},
            timeout=PATIENCE_S,
        )
        self._tasks = [
            asyncio.create_task(self._drain(self._process)),
            asyncio.create_task(self._follow(self._http)),
        ]

    async def stop(self) -> None:
        """Ask the process to end (SIGTERM) and return once it has."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        await self._ended()

    async def kill(self) -> None:
        """End the process at once (SIGKILL), as a crash does."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        await self._ended()

    async def restart(self) -> None:
        """Stop, and start again on the same data."""
        await self.stop()
        await self.start()

    async def _ended(self) -> None:
        if self._process is None:
            return
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            raise AssertionError(f"perene serve did not stop. {self._log_tail()}") from None
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._tasks = []
            if self._http is not None:
                await self._http.aclose()
            self._process = self._http = None

    async def _read_greeting(self, process: asyncio.subprocess.Process) -> int:
        """Read what is printed at the start; return the port. The key is printed only once."""
        assert process.stdout is not None
        port = None
        while port is None or self._key is None:
            line = (await process.stdout.readline()).decode()
            if not line:
                raise EOFError
            self._append(line)
            if found := _ADDRESS.search(line):
                port = int(found[1])
            if found := _KEY.search(line):
                self._key = found[1]
        return port

    async def _drain(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self._append(line.decode())

    def _append(self, line: str) -> None:
        with self._log.open("a") as log:
            log.write(line)

    def _log_tail(self) -> str:
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        return f"perene serve printed:\n{text[-6000:]}"

    # --- the HTTP API -----------------------------------------------------------------------------

    @property
    def http(self) -> httpx.AsyncClient:
        """The client of the running service, with its API key."""
        assert self._http is not None, "perene serve is not running"
        return self._http

    async def ask(self, method: str, path: str, **options: Any) -> Any:
        """Make a request and return the JSON answer; AssertionError for any refusal."""
        response = await self.http.request(method, path, **options)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    async def create_session(self, session: str) -> Mapping[str, Any]:
        """Create a session, which starts at once."""
        return await self.ask("POST", "/v1/sessions", json={"id": session})

    async def session(self, session: str) -> Mapping[str, Any]:
        """Return one session as the API shows it."""
        return await self.ask("GET", f"/v1/sessions/{session}")

    async def phone_number(self, session: str) -> str:
        """Return the address of the session's account by its phone number."""
        return f"{(await self.session(session))['phone']}@s.whatsapp.net"

    async def qr_text(self, session: str) -> str:
        """Return the text of the QR code to scan now."""
        response = await self.http.get(f"/v1/sessions/{session}/qr", params={"format": "text"})
        assert response.is_success, f"qr: {response.status_code} {response.text}"
        return response.text

    async def pairing_code(self, session: str, phone: str) -> str:
        """Return a code to be typed on the phone with this number."""
        path = f"/v1/sessions/{session}/pairing-code"
        return (await self.ask("POST", path, json={"phone": phone}))["code"]

    async def send(self, session: str, *, to: str, text: str, key: str) -> str:
        """Send a text under an idempotency key and return its message id."""
        answer = await self.ask(
            "POST",
            f"/v1/sessions/{session}/messages",
            json={"to": to, "text": text},
            headers={"Idempotency-Key": key},
        )
        return answer["id"]

    async def messages(self, session: str, *, chat: str | None = None) -> Sequence[Any]:
        """Return every message of a session, or of one chat, page by page, oldest first."""
        found: list[Any] = []
        parameters: dict[str, Any] = {
            "limit": 100,
            "order": "asc",
            **({"chat": chat} if chat else {}),
        }
        while True:
            page = await self.ask("GET", f"/v1/sessions/{session}/messages", params=parameters)
            found.extend(page["items"])
            if page["next_cursor"] is None:
                return found
            parameters["cursor"] = page["next_cursor"]

    async def _follow(self, http: httpx.AsyncClient) -> None:
        """Record the events, from the last one seen on, until cancelled or the service ends."""
        headers = {"Last-Event-ID": self._last_event_id or "0"}
        async with http.stream("GET", "/v1/events", headers=headers, timeout=None) as response:
            async for event in _server_sent(response.aiter_lines()):
                self._last_event_id = event["id"]
                data = json.loads(event["data"])
                facts = {"session": data["session"], **data["payload"]}
                await self.events.add(data["type"], facts)


async def _server_sent(lines: AsyncIterator[str]) -> AsyncIterator[Mapping[str, str]]:
    """Read server-sent events that have an id and data."""
    fields: dict[str, str] = {}
    async for line in lines:
        name, _, value = line.partition(":")
        if line and name:
            fields[name] = value.removeprefix(" ")
        elif not line:
            if "id" in fields and "data" in fields:
                yield fields
            fields = {}
