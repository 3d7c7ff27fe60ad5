"""The two programs of a crash run: a simulator that stays up, and the service that is killed."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx

_STARTS_WITHIN_S = 60.0


class Program:
    """A command `perene …` in a process of its own; everything it prints goes to one log file."""

    def __init__(self, folder: Path, *arguments: str, greeting: str, **variables: str) -> None:
        """Name the command. It has started when it prints a line that matches `greeting`."""
        self.log = folder / f"{arguments[0]}.log"
        self._arguments = arguments
        self._greeting = re.compile(greeting)
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PERENE_")},
            **variables,
        }
        self.log_to: int | None = None
        """A file descriptor that standard error goes to instead of the log file."""
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._printed = ""
        self.started = asyncio.Event()

    async def spawn(self) -> None:
        """Start the process and return at once; `started` is set when it has greeted."""
        self.started.clear()
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                str(Path(sys.executable).parent / "perene"),
                *self._arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log if self.log_to is None else self.log_to,
                env=self._environment,
            )
        self._reading = asyncio.create_task(self._read(self._process))

    async def greeted(self) -> None:
        """Return when the process has started; AssertionError when it ends or hangs instead."""
        assert self._process is not None
        ended = asyncio.create_task(self._process.wait())
        ready = asyncio.create_task(self.started.wait())
        await asyncio.wait(
            {ended, ready}, timeout=_STARTS_WITHIN_S, return_when=asyncio.FIRST_COMPLETED
        )
        ended.cancel()
        ready.cancel()
        assert self.started.is_set(), f"perene {self._arguments[0]} did not start: see {self.log}"

    @property
    def pid(self) -> int:
        """The id of the process that runs."""
        assert self._process is not None
        return self._process.pid

    async def lives_for(self, seconds: float) -> None:
        """Return after that time; AssertionError when the process ends by itself before."""
        assert self._process is not None
        try:
            async with asyncio.timeout(seconds):
                status = await self._process.wait()
        except TimeoutError:
            return
        raise AssertionError(f"perene {self._arguments[0]} ended with {status}: see {self.log}")

    async def ended(self) -> int:
        """Return the exit status once the process has ended by itself."""
        assert self._process is not None
        async with asyncio.timeout(_STARTS_WITHIN_S):
            return await self._process.wait()

    async def kill(self) -> None:
        """End the process at once (SIGKILL), wherever it is."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """Ask the process to end (SIGTERM) and return once it has."""
        await self._end(signal.SIGTERM)

    async def _end(self, number: int) -> None:
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.send_signal(number)
        try:
            async with asyncio.timeout(_STARTS_WITHIN_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            raise AssertionError(
                f"perene {self._arguments[0]} did not stop: see {self.log}"
            ) from None
        if self._reading is not None:
            await self._reading
        self._process = self._reading = None

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            text = line.decode(errors="replace")
            with self.log.open("a") as log:
                log.write(text)
            self._printed += text
            if self._greeting.search(text):
                self.started.set()

    def found(self, pattern: str) -> str:
        """Return the first group of a pattern in what was printed."""
        match = re.search(pattern, self._printed)
        assert match, f"perene {self._arguments[0]} did not print {pattern}: see {self.log}"
        return match[1]


class Simulator(Program):
    """`perene sim`, driven over its admin API."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "sim", "--port", "0", greeting="Ctrl-C ends it")
        self._http: httpx.AsyncClient | None = None

    async def start(self) -> None:
        """Start, and return once it answers."""
        await self.spawn()
        await self.greeted()
        self._http = httpx.AsyncClient(base_url=self.found(r"(http://\S+)/admin"), timeout=60)

    async def close(self) -> None:
        """End the process."""
        if self._http is not None:
            await self._http.aclose()
        await self.stop()

    @property
    def settings(self) -> dict[str, str]:
        """The variables with which the service finds and trusts this simulator."""
        return {
            "PERENE_ENDPOINT": self.found(r"(ws://\S+)"),
            "PERENE_NOISE_ROOT_KEY": self.found(r"root key\s+([0-9a-f]{64})"),
        }

    async def ask(self, method: str, path: str, **options: Any) -> Any:
        """Make a request below /admin and return the JSON answer."""
        assert self._http is not None
        response = await self._http.request(method, f"/admin{path}", **options)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json()

    async def send(self, phone: str, to: str, text: str) -> str:
        """Let somebody write to a number or a group; return the message's id."""
        answer = await self.ask("POST", f"/accounts/{phone}/send", json={"to": to, "text": text})
        return answer["id"]


class Service(Program):
    """`perene serve` on a port that stays the same, so that clients find it again."""

    def __init__(
        self, folder: Path, simulator: Simulator, database_url: str | None, **more: str
    ) -> None:
        """Name its folder, and the variables that it gets besides."""
        self.url = f"http://127.0.0.1:{_free_port()}"
        variables = {
            "PERENE_DATA_DIR": str(folder / "data"),
            "PERENE_PORT": self.url.rpartition(":")[2],
            **simulator.settings,
            **({"PERENE_DATABASE_URL": database_url} if database_url else {}),
            **more,
        }
        super().__init__(folder, "serve", greeting="serves at", **variables)
        self.http: httpx.AsyncClient | None = None

    async def start_first(self) -> str:
        """Start on an empty database; keep and return the API key, which is shown only now."""
        await self.spawn()
        await self.greeted()
        key = self.found(r"\b(pk_[A-Za-z0-9_-]+)")
        self.use(key)
        return key

    def use(self, key: str) -> None:
        """Ask with this API key."""
        self.http = httpx.AsyncClient(base_url=self.url, headers={"X-Api-Key": key}, timeout=30)

    async def close(self) -> None:
        """End the process in order."""
        if self.http is not None:
            await self.http.aclose()
        await self.stop()

    async def ask(self, method: str, path: str, **options: Any) -> Any:
        """Make a request and return the JSON answer, if any; AssertionError for a refusal."""
        assert self.http is not None
        response = await self.http.request(method, path, **options)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    async def news(self, **query: str | int) -> AsyncGenerator[bytes]:
        """Follow the events: return nothing at once, then what comes, and a comment each second."""
        assert self.http is not None
        parameters = {"heartbeat_s": 1, **query}
        async with self.http.stream("GET", "/v1/events", params=parameters) as stream:
            assert stream.is_success, f"events: {stream.status_code}"
            yield b""
            async for told in stream.aiter_bytes():
                yield told

    async def connected(self, session: str) -> None:
        """Return once a session has connected; TimeoutError when it does not."""
        asked = {"type": "session.connected", "session": session, "after": 0}
        async with asyncio.timeout(_STARTS_WITHIN_S):
            async with contextlib.aclosing(self.news(**asked)) as news:
                async for told in news:
                    if b"session.connected" in told:
                        return

    async def pair(self, simulator: Simulator, session: str) -> str:
        """Create a session and let a phone scan its code; return the phone's number."""
        await self.ask("POST", "/v1/sessions", json={"id": session})
        assert self.http is not None
        code = await self.http.get(f"/v1/sessions/{session}/qr", params={"format": "text"})
        assert code.is_success, f"qr: {code.status_code} {code.text}"
        answer = await simulator.ask("POST", "/mock-phone/scan-qr", content=code.text)
        return answer["phone"]

    async def pages(self, path: str, **parameters: Any) -> list[Any]:
        """Return the items of every page of a list."""
        found: list[Any] = []
        while True:
            page = await self.ask("GET", path, params=parameters)
            found.extend(page["items"])
            if page["next_cursor"] is None:
                return found
            parameters["cursor"] = page["next_cursor"]

    def errors(self) -> list[str]:
        """Return a sentence for each kind of error in the log, which is to be without any."""
        found = Counter(
            (line.get("event"), line.get("error"))
            for line in map(_logged, self.log.read_text(errors="replace").splitlines())
            if line.get("level") in ("error", "critical")
        )
        return [f"logged {n} times: {event} {error}" for (event, error), n in found.items()]

    async def events(self, kind: str) -> list[Any]:
        """Return every event of a type."""
        found: list[Any] = []
        query: dict[str, Any] = {"type": kind, "format": "json", "limit": 100, "after": 0}
        while True:
            page = await self.ask("GET", "/v1/events", params=query)
            if not page["items"]:
                return found
            found.extend(page["items"])
            query["after"] = page["position"]


def _logged(line: str) -> dict[str, Any]:
    """Return a line of the log; what is not one, or was cut short by a kill, has no members."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.asynccontextmanager
async def simulating(folder: Path) -> AsyncGenerator[Simulator]:
    """Run a simulator for as long as the block does."""
    simulator = Simulator(folder)
    try:
        await simulator.start()
        yield simulator
    finally:
        await simulator.close()


@contextlib.asynccontextmanager
async def serving(service: Service) -> AsyncGenerator[Service]:
    """Run a new service for as long as the block does."""
    try:
        await service.start_first()
        yield service
    finally:
        await service.kill()
        if service.http is not None:
            await service.http.aclose()
