"""The sessions as the API drives them: every request has an answer or an error of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from perene.core.causes import Cause, Local
from perene.core.errors import NotFound, StorageUnavailable
from perene.core.events import EventType
from perene.core.ids import SessionId
from perene.core.notices import Opened, PhoneLinked, QrShown
from perene.core.sessions import Connection, Desired, SessionOptions, SessionRecord
from perene.supervisor.desks.sessions import SessionDesk
from perene.supervisor.ports import (
    AlreadyExists,
    AlreadyPaired,
    NotRunning,
    PairingNotReady,
    SessionView,
)
from tests.support.endings import LOST, local
from tests.support.virtual_clock import START
from tests.unit.supervisor.fakes import World
from tests.unit.supervisor.fleet.life import SlowAnswer

ANA = SessionId("ana")
QR = QrShown(text="qr", expires_at=START + timedelta(seconds=60))
PHONE = "5511900000001"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    life = asyncio.create_task(world.supervisor.run())
    await asyncio.sleep(0)
    yield world
    world.supervisor.close()
    async with asyncio.timeout(10):
        await life


@pytest.fixture
def desk(world: World) -> SessionDesk:
    return desk_of(world)


def desk_of(world: World) -> SessionDesk:
    return SessionDesk(
        world.store,
        world.supervisor,
        world.clock,
        world.retries,
        at_once=world.store,
        ring=world.ring,
    )


async def create(
    desk: SessionDesk, session: SessionId | None = ANA, *, start: bool = True
) -> SessionView:
    return await desk.create_session(session, name="Ana", options=SessionOptions(), start=start)


async def begun(waiting: "asyncio.Task[object]") -> None:
    """Let a request come as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()


# --- sessions -------------------------------------------------------------------------------------


async def test_a_created_session_is_stored_told_and_started(
    desk: SessionDesk, world: World
) -> None:
    view = await create(desk)
    assert (view.record.id, view.record.name) == (ANA, "Ana")
    assert view.record.desired is Desired.RUNNING
    created = world.store.outbox[0].event
    assert (created.type, created.payload) == (EventType.SESSION_CREATED, {"name": "Ana"})
    assert world.rung == 1
    await world.engine("ana")


@pytest.mark.requirement("C3", "E8")
@pytest.mark.parametrize("start", [False, True])
async def test_a_session_whose_creation_was_stored_unheard_is_followed_within_ten_seconds(
    world: World, desk: SessionDesk, monkeypatch: pytest.MonkeyPatch, *, start: bool
) -> None:
    create_session = world.store.create_session

    async def unsure(session: SessionId, **more: Any) -> SessionRecord:  # as that takes them
        await create_session(session, **more)
        raise StorageUnavailable("no answer in time")

    monkeypatch.setattr(world.store, "create_session", unsure)
    creating = asyncio.create_task(create(desk, start=start))
    for wait_s in (2, 4):
        await world.clock.until_asleep(wait_s)
        await world.clock.advance(wait_s)
    with pytest.raises(StorageUnavailable):
        await creating
    assert not world.engines
    await world.clock.advance(10)
    if start:
        await world.engine("ana")
    lives, remembered = world.supervisor.roster.lives, world.supervisor.roster.remembered
    assert set(lives) == {ANA}, "health counts it"
    assert remembered is not None
    assert [one.record.id for one in remembered] == [ANA], "it is shown while the database is away"


@pytest.mark.requirement("C3", "E8")
async def test_a_creation_that_is_cancelled_after_it_was_stored_is_followed(
    world: World, desk: SessionDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowAnswer(world, monkeypatch, "create_session")
    creating = asyncio.create_task(create(desk))
    await slow.waiting.wait()
    creating.cancel()
    await asyncio.wait([creating])
    await world.clock.advance(10)
    await world.engine("ana")


@pytest.mark.requirement("C3", "E8")
@pytest.mark.parametrize("look", ["list", "one"])
async def test_a_session_that_was_stored_after_its_creation_was_given_up_is_found_by_who_looks(
    world: World, desk: SessionDesk, look: str
) -> None:
    world.supervisor.doubt(ANA)
    await world.clock.advance(10)  # nobody finds it, and nobody doubts it any more
    world.store.add("ana")
    await (desk.list_sessions() if look == "list" else desk.session(ANA))
    await world.clock.advance(10)
    await world.engine("ana")


@pytest.mark.requirement("C3", "E8")
async def test_a_creation_is_followed_though_others_are_told_that_there_is_no_such_session(
    world: World, desk: SessionDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question that was asked before the session was stored may be answered after that."""
    go_on = asyncio.Event()

    async def not_found(session: SessionId) -> SessionRecord:
        await go_on.wait()
        raise NotFound(f"no session {session}")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "get_session", not_found)
        deleting = asyncio.create_task(desk.delete(ANA))
        await begun(deleting)
        slow = SlowAnswer(world, patch, "create_session")
        creating = asyncio.create_task(create(desk))
        await slow.waiting.wait()
        creating.cancel()
        await asyncio.wait([creating])
        go_on.set()
        with pytest.raises(NotFound):
            await deleting
    await world.clock.advance(10)
    await world.engine("ana")


@pytest.mark.requirement("C3", "E8")
@pytest.mark.parametrize("stores", [False, True])
async def test_a_creation_waits_for_a_database_that_restarts_and_is_no_conflict_with_itself(
    world: World, desk: SessionDesk, monkeypatch: pytest.MonkeyPatch, *, stores: bool
) -> None:
    create_session = world.store.create_session
    away = True

    async def unsure(session: SessionId, **more: Any) -> SessionRecord:  # as that takes them
        if away and not stores:
            raise StorageUnavailable("it is starting or stopping")
        record = await create_session(session, **more)
        if away:
            raise StorageUnavailable("the connection to the database was lost")
        return record

    monkeypatch.setattr(world.store, "create_session", unsure)
    creating = asyncio.create_task(create(desk))
    await world.clock.until_asleep(2)
    away = False
    await world.clock.advance(2)
    assert (await creating).record.id == ANA
    await world.engine("ana")
    assert world.store.told(ANA).count(EventType.SESSION_CREATED) == 1
    with pytest.raises(AlreadyExists):
        await create(desk)


async def test_a_session_may_be_created_to_be_started_later(
    desk: SessionDesk, world: World
) -> None:
    view = await create(desk, start=False)
    assert view.record.desired is Desired.STOPPED
    assert view.connection is Connection.STOPPED
    assert not world.supervisor.roster.is_running(ANA)
    assert world.supervisor.roster.lives[ANA].connection is Connection.STOPPED, "health counts it"


@pytest.mark.requirement("D9")
async def test_a_list_shows_which_sessions_share_a_number(desk: SessionDesk, world: World) -> None:
    for name in ("ana", "bob"):
        world.store.add(name, paired=True, desired=Desired.STOPPED)
    for name in ("new", "newer"):
        world.store.add(name, desired=Desired.STOPPED)
    views = await desk.list_sessions()
    assert {view.record.id: view.twins for view in views} == {
        ANA: ("bob",),
        "bob": (ANA,),
        "new": (),
        "newer": (),
    }


async def test_a_session_without_a_name_of_its_own_gets_an_id(desk: SessionDesk) -> None:
    first, second = await create(desk, None), await create(desk, None)
    assert first.record.id != second.record.id
    assert first.record.id.startswith("s_")


async def test_an_id_can_be_used_only_once(desk: SessionDesk, world: World) -> None:
    await create(desk, start=False)
    with pytest.raises(AlreadyExists):
        await create(desk)
    assert not world.supervisor.roster.is_running(ANA)
    assert world.rung == 1


async def test_a_view_joins_what_is_stored_with_what_is_true_now(
    desk: SessionDesk, world: World
) -> None:
    await create(desk)
    engine = await world.engine("ana")
    engine.observer.notice(QR)
    assert (await desk.session(ANA)).qr_available
    engine.observer.notice(Opened(at=START))
    view = await desk.session(ANA)
    assert (view.connection, view.connected_at) == (Connection.OPEN, START)
    assert not view.qr_available
    engine.end(local(Local.UNREACHABLE))
    await world.clock.until_asleep(1)
    view = await desk.session(ANA)
    assert (view.connection, view.connected_at) == (Connection.WAITING, None)
    assert view.last_error


async def test_every_session_is_listed_running_or_not(desk: SessionDesk) -> None:
    await create(desk)
    await create(desk, SessionId("bob"), start=False)
    assert [view.record.id for view in await desk.list_sessions()] == ["ana", "bob"]


async def test_stop_and_start_answer_with_the_new_desire(desk: SessionDesk, world: World) -> None:
    await create(desk)
    await world.engine("ana")
    stopped = await desk.stop(ANA)
    assert (stopped.record.desired, stopped.connection) == (Desired.STOPPED, Connection.STOPPED)
    assert (await desk.start(ANA)).record.desired is Desired.RUNNING
    await world.engine("ana", 2)


async def test_a_deleted_session_is_not_found_any_more(desk: SessionDesk) -> None:
    await create(desk)
    await desk.delete(ANA)
    with pytest.raises(NotFound):
        await desk.session(ANA)


async def test_no_request_for_a_session_that_does_not_exist_is_answered(desk: SessionDesk) -> None:
    for asked in (
        desk.session(ANA),
        desk.start(ANA),
        desk.stop(ANA),
        desk.delete(ANA),
        desk.current_qr(ANA, wait_s=0),
        desk.request_pairing_code(ANA, PHONE),
    ):
        with pytest.raises(NotFound):
            await asked


# --- pairing by QR code ---------------------------------------------------------------------------


async def test_whoever_asks_for_a_code_does_not_start_what_is_just_being_stopped(
    world: World, desk: SessionDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create(desk)
    expired = local(Local.PAIRING_EXPIRED)
    (await world.engine("ana")).end(expired)
    await world.clock.until_asleep(1, within=0.1)
    assert world.supervisor.roster.live(ANA).outlook.cause is Cause.PAIRING_EXPIRED
    set_desired, stored, go_on = world.store.set_desired, asyncio.Event(), asyncio.Event()

    async def slow(session: SessionId, desired: Desired) -> None:
        await set_desired(session, desired)
        stored.set()
        await go_on.wait()

    monkeypatch.setattr(world.store, "set_desired", slow)
    stopping = asyncio.create_task(desk.stop(ANA))
    await stored.wait()
    asking = asyncio.create_task(desk.current_qr(ANA, wait_s=0))
    await begun(asking)
    go_on.set()
    await stopping
    with pytest.raises((NotRunning, PairingNotReady)):
        await asking
    assert world.store.records[ANA].desired is Desired.STOPPED
    assert not world.supervisor.roster.is_running(ANA)
    assert len(world.engines[ANA]) == 1


async def test_a_qr_code_that_is_there_is_returned_at_once(desk: SessionDesk, world: World) -> None:
    await create(desk)
    (await world.engine("ana")).observer.notice(QR)
    assert (await desk.current_qr(ANA, wait_s=0)).text == "qr"


async def test_a_qr_code_is_waited_for(desk: SessionDesk, world: World) -> None:
    await create(desk)
    engine = await world.engine("ana")
    waiting = asyncio.create_task(desk.current_qr(ANA, wait_s=10))
    await begun(waiting)
    engine.observer.notice(QR)
    assert (await waiting).expires_at == QR.expires_at


async def test_a_wait_for_a_qr_code_ends_in_vain_when_its_time_is_over(
    desk: SessionDesk, world: World
) -> None:
    await create(desk)
    await world.engine("ana")
    with pytest.raises(PairingNotReady):
        await desk.current_qr(ANA, wait_s=0)


async def test_a_stopped_session_has_no_qr_code(desk: SessionDesk) -> None:
    await create(desk, start=False)
    with pytest.raises(NotRunning):
        await desk.current_qr(ANA, wait_s=10)


async def test_a_linked_session_has_no_qr_code_even_when_it_is_stopped(
    desk: SessionDesk, world: World
) -> None:
    world.store.add("ana", paired=True, desired=Desired.STOPPED)
    with pytest.raises(AlreadyPaired):
        await desk.current_qr(ANA, wait_s=10)


async def test_a_phone_that_scans_meanwhile_ends_the_wait(desk: SessionDesk, world: World) -> None:
    await create(desk)
    engine = await world.engine("ana")
    waiting = asyncio.create_task(desk.current_qr(ANA, wait_s=10))
    await begun(waiting)
    world.store.add("ana", paired=True)
    engine.observer.notice(PhoneLinked())
    with pytest.raises(AlreadyPaired):
        await waiting


@pytest.mark.parametrize(
    ("change", "told"),
    [(SessionDesk.delete, (NotFound, NotRunning)), (SessionDesk.stop, NotRunning)],
    ids=["deleted", "stopped"],
)
async def test_a_session_that_is_taken_away_meanwhile_ends_the_wait(
    desk: SessionDesk,
    world: World,
    change: Callable[[SessionDesk, SessionId], Awaitable[object]],
    told: type[Exception] | tuple[type[Exception], ...],
) -> None:
    await create(desk)
    await world.engine("ana")
    waiting = asyncio.create_task(desk.current_qr(ANA, wait_s=10))
    await begun(waiting)
    await change(desk, ANA)
    with pytest.raises(told):
        await waiting


# --- pairing by code ------------------------------------------------------------------------------


async def test_a_pairing_code_comes_from_the_connection(desk: SessionDesk, world: World) -> None:
    await create(desk)
    (await world.engine("ana")).observer.notice(QR)
    assert await desk.request_pairing_code(ANA, PHONE) == "ABCD-EFGH"


async def test_a_pairing_code_needs_a_server_that_has_offered_pairing(
    desk: SessionDesk, world: World
) -> None:
    await create(desk)
    await world.engine("ana")
    with pytest.raises(PairingNotReady):
        await desk.request_pairing_code(ANA, PHONE)


async def test_a_pairing_code_that_the_server_refuses_is_not_ready(
    desk: SessionDesk, world: World
) -> None:
    await create(desk)
    engine = await world.engine("ana")
    engine.observer.notice(QR)
    engine.pairing_code = StorageUnavailable("down")
    with pytest.raises(PairingNotReady, match="down"):
        await desk.request_pairing_code(ANA, PHONE)


async def test_a_connection_that_just_ended_gives_no_pairing_code(
    desk: SessionDesk, world: World
) -> None:
    await create(desk)
    engine = await world.engine("ana")
    engine.observer.notice(QR)
    engine.end(LOST)
    await world.clock.until_asleep(1)
    with pytest.raises(PairingNotReady):
        await desk.request_pairing_code(ANA, PHONE)


async def test_a_stopped_session_gives_no_pairing_code(desk: SessionDesk) -> None:
    await create(desk, start=False)
    with pytest.raises(NotRunning):
        await desk.request_pairing_code(ANA, PHONE)


async def test_a_linked_session_gives_no_pairing_code(desk: SessionDesk, world: World) -> None:
    world.store.add("ana", paired=True)
    with pytest.raises(AlreadyPaired):
        await desk.request_pairing_code(ANA, PHONE)


@pytest.mark.requirement("C3")
async def test_who_asks_for_a_code_while_the_service_reads_which_sessions_there_are_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also of a session that shall run it would be told else that it is stopped."""
    world = World()
    desk = desk_of(world)
    world.store.add("ana")
    world.store.add("bob", desired=Desired.STOPPED)
    listing = SlowAnswer(world, monkeypatch, "list_sessions")
    life = asyncio.create_task(world.supervisor.run())
    await listing.waiting.wait()
    asking = asyncio.create_task(desk.current_qr(ANA, wait_s=60))
    await begun(asking)
    with pytest.raises(NotRunning):
        await desk.current_qr(SessionId("bob"), wait_s=60)
    with pytest.raises(PairingNotReady):
        await desk.request_pairing_code(ANA, PHONE)
    listing.go_on.set()
    (await world.engine("ana")).observer.notice(QR)
    assert (await asking).text == QR.text
    world.supervisor.close()
    await life
