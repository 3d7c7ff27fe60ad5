"""The commands as a user types them: over real HTTP, against a service and a simulator that run."""

import asyncio
import io
import re
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from perene import cli
from perene.app.sessions import wire_sessions
from perene.app.watch import wire_watch
from perene.app.web import wire_server
from perene.core.clock import SystemClock
from perene.core.events import EventType
from perene.core.ids import SessionId
from perene.settings import Settings
from perene.sim import Settings as SimSettings
from perene.sim import Simulator, serve
from perene.store.store import Store
from perene.supervisor.fleet.supervisor import Supervisor
from perene.supervisor.metrics import Metrics
from perene.supervisor.watches.hold import HoldWatch

PATIENCE_S = 30
_CODE = re.compile(r"^Type this code on the phone: ([1-9A-Z]{4}-[1-9A-Z]{4})$", re.MULTILINE)
DESK = SessionId("desk")


class Screen(io.StringIO):
    """Takes what a command prints on its own thread, and tells the test's loop of it."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._written = asyncio.Event()

    def write(self, text: str) -> int:
        size = super().write(text)
        self._loop.call_soon_threadsafe(self._written.set)
        return size

    async def shows(self, pattern: "re.Pattern[str]") -> str:
        """Return what a pattern matches, once it does."""
        async with asyncio.timeout(PATIENCE_S):
            while (found := pattern.search(self.getvalue())) is None:
                await self._written.wait()
                self._written.clear()
        return found[found.re.groups]


class Terminal:
    """Runs commands, each on a thread of its own, against one service."""

    def __init__(self, patch: pytest.MonkeyPatch, url: str, key: str) -> None:
        self._patch = patch
        patch.setenv("PERENE_URL", url)
        patch.setenv("PERENE_API_KEY", key)
        patch.setattr("perene.cli.pairing._LOOK_S", 0.05)

    def begin(self, *arguments: str) -> "tuple[Screen, asyncio.Task[int]]":
        """Type a command; return what it prints, and what its exit status will be."""
        screen = Screen()
        self._patch.setattr(sys, "stdout", screen)
        self._patch.setattr(sys, "stderr", screen)
        self._patch.setattr(sys, "argv", ["perene", *arguments])
        return screen, asyncio.create_task(asyncio.to_thread(_status))

    async def __call__(self, *arguments: str) -> str:
        """Type a command that must succeed; return what it printed."""
        screen, running = self.begin(*arguments)
        async with asyncio.timeout(PATIENCE_S):
            assert await running == 0, screen.getvalue()
        return screen.getvalue()


def _status() -> int:
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    raise AssertionError("a command ends the process")


class Running:
    """A simulator and a service that listen on this machine."""

    def __init__(
        self, simulator: Simulator, store: Store, supervisor: Supervisor, url: str, key: str
    ) -> None:
        self.simulator = simulator
        self.store = store
        self.supervisor = supervisor
        self.url = url
        self.key = key


@asynccontextmanager
async def running(folder: Path) -> AsyncGenerator[Running]:
    print("seed 7")
    simulator = Simulator(seed=7, settings=SimSettings(initial_sync=False))
    chat = await serve(simulator, "127.0.0.1", 0, tls=False)
    settings = Settings(
        data_dir=folder, endpoint=chat.ws_url, noise_root_key=chat.root_key.hex(), port=0
    )
    clock, metrics = SystemClock(), Metrics()
    store = Store.open(settings.database, clock=clock, key_file=settings.master_key_path)
    _, key = await store.create_api_key("test")
    sessions = await wire_sessions(settings, store, clock, metrics)
    hold = HoldWatch(AsyncMock(return_value=False), clock)
    watch = wire_watch(settings, store, clock, metrics, sessions, hold)
    server = wire_server(settings, store, clock, metrics, sessions, watch)
    port = await server.start()
    committing = asyncio.create_task(sessions.committer.run())
    supervising = asyncio.create_task(sessions.supervisor.run())
    try:
        yield Running(simulator, store, sessions.supervisor, f"http://127.0.0.1:{port}", key)
    finally:
        sessions.supervisor.close()
        await supervising
        committing.cancel()
        await server.stop()
        await store.close()
        await chat.close()


async def scanned(world: Running, screen: Screen) -> str:
    """Scan the code on the screen with a new phone; return its number."""
    await screen.shows(re.compile("Scan this with the phone"))
    qr = world.supervisor.roster.live(DESK).qr
    assert qr is not None
    return world.simulator.scan_qr(qr.text).account.phone


async def test_a_session_is_paired_by_qr_driven_by_commands_and_paired_again_by_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as world:
        perene = Terminal(monkeypatch, world.url, world.key)
        assert "no sessions yet" in await perene("session", "list")

        screen, pairing = perene.begin("session", "pair", "desk", "--name", "Front desk")
        phone = await scanned(world, screen)
        async with asyncio.timeout(PATIENCE_S):
            assert await pairing == 0
        assert f"Session desk is linked to …{phone[-4:]}." in screen.getvalue()

        assert "Front desk" in await perene("session", "list")
        shown = await perene("session", "show", "desk")
        assert re.search(r"^linked to +android$", shown, re.MULTILINE)
        assert "No outage is on record." in shown
        assert "is: stopped" in await perene("session", "stop", "desk")
        assert "running; its connection is: open." in await perene("session", "start", "desk")
        opened_at = world.supervisor.roster.live(DESK).connected_at
        assert "running; its connection is: open." in await perene("session", "restart", "desk")
        assert world.supervisor.roster.live(DESK).connected_at != opened_at
        assert "is linked to" in await perene("session", "pair", "desk")
        assert "is: stopped" in await perene("session", "logout", "desk", "--yes")
        assert "nothing yet" in await perene("session", "show", "desk")
        told = await world.store.events_after(0, types=[EventType.SESSION_LOGGED_OUT])
        assert [(one.session, one.event.payload) for one in told] == [
            (DESK, {"still_linked": False})
        ]

        screen, pairing = perene.begin("session", "pair", "desk", "--phone", f"+{phone}")
        code = await screen.shows(_CODE)
        world.simulator.enter_code(phone, code)
        async with asyncio.timeout(PATIENCE_S):
            assert await pairing == 0
        assert f"Session desk is linked to …{phone[-4:]}." in screen.getvalue()


async def test_a_command_tells_what_its_session_has_come_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as world:
        perene = Terminal(monkeypatch, world.url, world.key)
        screen, pairing = perene.begin("session", "pair", "desk")
        phone = await scanned(world, screen)
        async with asyncio.timeout(PATIENCE_S):
            assert await pairing == 0

        await perene("session", "stop", "desk")
        world.simulator.add_fault("refuse_login", phone=phone, reason=406)
        screen, starting = perene.begin("session", "start", "desk")
        assert await starting == 1
        assert "wanted running; its connection is: needs attention." in screen.getvalue()
        assert "banned" in screen.getvalue()

        assert "is: open." in await perene("session", "restart", "desk")

        world.simulator.ban(phone, timedelta(hours=1))
        screen, restarting = perene.begin("session", "restart", "desk")
        assert await restarting == 1
        assert "is: waiting." in screen.getvalue()
        assert re.search(r"^Next attempt: in (59 min|1 h)", screen.getvalue(), re.MULTILINE)
        assert "is: stopped." in await perene("session", "stop", "desk")
