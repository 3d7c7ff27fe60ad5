"""The parts of the service are wired to each other."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from threading import current_thread
from typing import Any
from unittest.mock import AsyncMock, Mock

import httpx
import pytest
from sqlalchemy import Connection as DatabaseConnection
from structlog import DropEvent
from structlog.testing import capture_logs
from structlog.types import EventDict

from perene.api import HttpServer, Streams
from perene.app.life import live_and_drain
from perene.app.sessions import Sessions, wire_sessions
from perene.app.watch import Watch, wire_watch
from perene.app.web import wire_server
from perene.core.account import limit_event
from perene.core.alerts import SERVICE
from perene.core.errors import DatabaseTaken, ServiceFailed, StorageUnavailable
from perene.core.ids import Epoch, SessionId
from perene.core.notices import DeafOutcome, HearingDoubted
from perene.core.sessions import Connection, Desired, SessionOptions
from perene.process.threads import Threads
from perene.settings import Settings
from perene.store import deleting
from perene.store.database import Database
from perene.store.store import Store
from perene.supervisor.desks.sessions import SessionDesk
from perene.supervisor.metrics import Metrics
from perene.supervisor.ports import EventPage
from perene.supervisor.watches.hold import HoldWatch
from tests.support.record import PATIENCE_S
from tests.support.virtual_clock import VirtualClock

ANA = SessionId("ana")


class Wired:
    """The parts as the service makes them; nothing runs but what a test starts."""

    def __init__(
        self,
        store: Store,
        clock: VirtualClock,
        metrics: Metrics,
        sessions: Sessions,
        watch: Watch,
        hold: HoldWatch,
    ) -> None:
        self.store = store
        self.clock = clock
        self.metrics = metrics
        self.sessions = sessions
        self.watch = watch
        self.hold = hold
        self.desk = SessionDesk(
            store,
            sessions.supervisor,
            clock,
            sessions.retries,
            at_once=store,
            ring=sessions.feed.ring,
        )


@asynccontextmanager
async def wired(folder: Path) -> AsyncGenerator[Wired]:
    clock, metrics = VirtualClock(), Metrics()
    settings = Settings(data_dir=folder)
    store = Store.open(settings.database, clock=clock, key_file=settings.master_key_path)
    sessions = await wire_sessions(settings, store, clock, metrics)
    hold = HoldWatch(AsyncMock(return_value=False), clock)
    watch = wire_watch(settings, store, clock, metrics, sessions, hold)
    try:
        yield Wired(store, clock, metrics, sessions, watch, hold)
    finally:
        await store.close()


@pytest.fixture
async def service(tmp_path: Path) -> AsyncGenerator[Wired]:
    async with wired(tmp_path) as one:
        yield one


@pytest.mark.requirement("C16")
async def test_detailed_health_names_every_part_of_the_service(service: Wired) -> None:
    parts = (await service.watch.vitals.detailed()).components
    assert [part.name for part in parts] == [
        "database",
        "commit_queue",
        "database_hold",
        "event_loop",
        "disk",
        "open_files",
        "master_key",
        "client_version",
        "alerts",
        "retention",
        "deletion",
    ]
    assert all(part.ok for part in parts)


async def test_what_a_deleted_session_leaves_is_removed_though_the_database_restarts_just_then(
    service: Wired, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, swept, told = SessionId("desk"), asyncio.Event(), list[str]()
    remove, away = deleting.remove_remains, True

    def restarting(connection: DatabaseConnection, *, limit: int) -> int:
        nonlocal away
        if away:
            away = False
            raise StorageUnavailable("the server closed the connection unexpectedly")
        return remove(connection, limit=limit)

    def logged(_: object, __: str, line: EventDict) -> EventDict:
        told.append(line["event"])
        if line["event"] == "remains_removed":
            swept.set()
        raise DropEvent

    monkeypatch.setattr(deleting, "remove_remains", restarting)
    await service.store.create_session(desk)
    with capture_logs(processors=[logged]):
        await service.sessions.supervisor.delete(desk)
        life = asyncio.create_task(service.watch.looks.sweeper.run())
        await service.clock.until_asleep(2)
        await service.clock.advance(2)
        async with asyncio.timeout(PATIENCE_S):
            await swept.wait()
    life.cancel()
    assert told == ["database_away", "database_answers", "remains_removed"]


async def test_a_receiver_of_alerts_that_hangs_does_not_keep_the_process_from_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[threading.Thread] = []
    monkeypatch.setenv("PERENE_ALERT_URLS", "json://127.0.0.1:1/hook")
    monkeypatch.setattr("apprise.Apprise.notify", lambda *_, **__: used.append(current_thread()))
    async with wired(tmp_path) as service:
        service.hold.taken = DatabaseTaken("Another service took it.")
        await service.watch.alerting.look()
    assert [thread.daemon for thread in used] == [True]


@pytest.mark.parametrize("hanging", ["perene-alerts", "perene-trial"])
async def test_a_test_of_the_receivers_waits_for_no_alert_and_no_alert_waits_for_it(
    hanging: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, let_go, sent = threading.Event(), threading.Event(), list[str]()

    def notify(*_: object, **__: object) -> bool:
        name = current_thread().name
        if name.startswith(hanging):
            stuck.set()
            let_go.wait(PATIENCE_S)
        sent.append(name)
        return True

    monkeypatch.setenv("PERENE_ALERT_URLS", "json://127.0.0.1:1/hook")
    monkeypatch.setattr("apprise.Apprise.notify", notify)
    async with wired(tmp_path) as service:
        service.hold.taken = DatabaseTaken("Another service took it.")
        deeds = {
            "perene-alerts": service.watch.alerting.look,
            "perene-trial": service.watch.trial.run,
        }
        slow = asyncio.create_task(deeds.pop(hanging)())
        await asyncio.to_thread(stuck.wait, PATIENCE_S)
        ((quick, deed),) = deeds.items()
        await deed()
        assert sent == [f"{quick}-0"]
        assert not slow.done()
        let_go.set()
        await slow
    assert sent == [f"{quick}-0", f"{hanging}-0"]


@pytest.mark.requirement("C16")
async def test_a_database_that_dies_in_silence_is_seen_by_health_and_alerts(
    service: Wired, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: object, **__: object) -> None:
        raise StorageUnavailable("the disk is gone")

    monkeypatch.setattr(service.store.database, "write", gone)
    await service.watch.looks.database.look()
    [database] = (await service.watch.vitals.health()).components
    assert not database.ok
    await service.watch.alerting.look()
    await service.clock.advance(20)
    await service.watch.alerting.look()
    fired = await service.watch.alerting.alerts(open_only=True, session=None, limit=10)
    assert [(alert.rule, alert.subject) for alert in fired] == [("database_failing", SERVICE)]
    page = service.metrics.exposition().decode()
    assert 'perene_alerts_firing{rule="database_failing",severity="critical"} 1.0' in page


@pytest.mark.requirement("D9")
async def test_a_database_that_another_service_took_raises_an_alert_at_the_next_look(
    service: Wired,
) -> None:
    await service.watch.alerting.look()
    service.hold.taken = DatabaseTaken("Another service took it.")
    await service.watch.alerting.look()
    fired = await service.watch.alerting.alerts(open_only=True, session=None, limit=10)
    assert [(alert.rule, alert.subject) for alert in fired] == [("database_taken", SERVICE)]
    parts = (await service.watch.vitals.detailed()).components
    assert [part.name for part in parts if not part.ok] == ["database_hold"]


async def test_what_is_wrong_with_a_session_is_not_told_as_over_because_the_service_ends(
    service: Wired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perene.app.life.signalled", AsyncMock())
    alerting, live = service.watch.alerting, service.sessions.supervisor.roster.known(ANA)
    live.moved(Connection.NEEDS_ATTENTION)
    for _ in range(2):
        await alerting.look()
        await service.clock.advance(30)
    server = Mock(stop=AsyncMock(), ended=AsyncMock())
    settings = Settings(data_dir=tmp_path)
    await live_and_drain(settings, server, service.sessions, service.hold, service.watch)
    live.moved(Connection.STOPPED)
    service.hold.taken = DatabaseTaken("Another service took it.")
    await alerting.look()
    found = await alerting.alerts(open_only=True, session=None, limit=10)
    assert {alert.rule for alert in found} == {"session_needs_attention", "database_taken"}


async def test_a_service_ends_in_order_and_says_why_when_its_http_server_ends_by_itself(
    service: Wired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = Streams()
    server = HttpServer(Mock(), host="127.0.0.1", port=0, streams=streams)
    await server.start()
    bug = RuntimeError("the loop of the server has a bug")
    monkeypatch.setattr("uvicorn.Server.on_tick", AsyncMock(side_effect=bug))
    settings = Settings(data_dir=tmp_path)
    with capture_logs() as logs, pytest.raises(ServiceFailed, match="http server"):
        async with asyncio.timeout(PATIENCE_S):
            await live_and_drain(settings, server, service.sessions, service.hold, service.watch)
    [told] = [line for line in logs if line["event"] == "service_failed"]
    assert told["part"] == "http server"
    assert told["exc_info"].__cause__ is bug
    assert [line["event"] for line in logs if "exc_info" in line] == ["service_failed"]
    await server.stop()


async def test_a_part_that_fails_does_not_keep_the_others_from_draining(
    service: Wired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drained = AsyncMock()
    monkeypatch.setattr(service.sessions.committer, "drained", drained)
    monkeypatch.setattr(service.sessions.supervisor, "run", AsyncMock(side_effect=ValueError))
    server = Mock(stop=AsyncMock(), ended=AsyncMock(side_effect=asyncio.Event().wait))
    settings = Settings(data_dir=tmp_path)
    with pytest.raises(ServiceFailed, match="supervisor"):
        async with asyncio.timeout(PATIENCE_S):
            await live_and_drain(settings, server, service.sessions, service.hold, service.watch)
    drained.assert_awaited_once()


@pytest.mark.requirement("F10")
async def test_an_account_under_a_limit_raises_an_alert(service: Wired) -> None:
    await service.desk.create_session(ANA, name=None, options=SessionOptions(), start=False)
    service.sessions.supervisor.roster.live(ANA).moved(Connection.OPEN)
    event = limit_event("463", service.clock.now(), hold=timedelta(hours=1))
    await service.store.append_events([(ANA, event)])
    await service.watch.looks.limits.look()
    await service.watch.alerting.look()
    fired = await service.watch.alerting.alerts(open_only=True, session=ANA, limit=10)
    assert [alert.rule for alert in fired] == ["session_limited"]


@pytest.mark.requirement("F3")
async def test_what_came_of_suspected_deafness_is_measured(service: Wired) -> None:
    live = service.sessions.supervisor.roster.known(ANA)
    live.notice(HearingDoubted())
    live.notice(HearingDoubted(outcome=DeafOutcome.CONFIRMED))
    page = service.metrics.exposition().decode()
    assert 'perene_deaf_suspicions_total{outcome="confirmed"} 1.0' in page


async def test_a_deleted_session_leaves_no_memory_behind(
    service: Wired, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = asyncio.create_task(service.sessions.supervisor.run())
    hearings, accounts = service.sessions.hearings, service.sessions.accounts
    read_from: list[int] = []
    after = service.sessions.feed.after

    async def noted(position: int, **which: Any) -> EventPage:
        read_from.append(position)
        return await after(position, **which)

    monkeypatch.setattr(service.sessions.feed, "after", noted)
    await service.desk.create_session(ANA, name=None, options=SessionOptions(), start=False)
    heard = hearings.of(ANA)
    assert hearings.of(ANA) is heard
    for _ in range(2):
        await accounts.account(ANA)
    assert read_from[0] == 0 < read_from[1], "what was read is remembered"

    await service.desk.delete(ANA)
    await service.desk.create_session(ANA, name=None, options=SessionOptions(), start=False)
    assert hearings.of(ANA) is not heard
    await accounts.account(ANA)
    assert read_from[2] == 0
    service.sessions.supervisor.close()
    await life


@pytest.mark.requirement("C1")
async def test_whatever_the_api_reads_takes_no_thread_from_sessions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []
    hand_over = Database.hand_over

    async def watched(self: Database, threads: Threads, work: Callable[[], object]) -> object:
        used.append(threads.name)
        return await hand_over(self, threads, work)

    monkeypatch.setattr(Database, "hand_over", watched)
    async with wired(tmp_path) as service:
        await service.store.create_session(
            ANA, name=None, desired=Desired.STOPPED, options=SessionOptions()
        )
        _, key = await service.store.create_api_key("test")
        server = wire_server(
            Settings(data_dir=tmp_path),
            service.store,
            service.clock,
            service.metrics,
            service.sessions,
            service.watch,
        )
        used.clear()
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(server.app),
            base_url="http://perene",
            headers={"X-Api-Key": key},
        ) as client:
            for path in ("", "/ana", "/ana/outages", "/ana/messages", "/ana/conversations"):
                assert (await client.get(f"/v1/sessions{path}")).is_success, path
            assert (await client.get("/v1/events", params={"format": "json"})).is_success
            assert (await client.get("/v1/sessions/ana/account")).is_success
        assert set(used) == {"perene-look"}
        used.clear()
        await service.store.reader(ANA, Epoch(0)).privacy_tokens(["1@lid"])
        assert used == ["perene-read"]
