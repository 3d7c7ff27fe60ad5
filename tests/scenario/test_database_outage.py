"""Ten minutes without a database, in the middle of traffic, and what must not come of it."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text, update
from structlog.testing import capture_logs

from perene.core.errors import NotFound, StorageError, StorageUnavailable
from perene.core.events import EventType
from perene.core.ids import CommitId
from perene.core.outages import OutageEnd
from perene.core.sessions import Connection as State
from perene.core.unit import Outcome, Unit
from perene.sim.mailbox import Held
from perene.store.schema import sessions
from tests.plugins.postgres import running_postgres
from tests.support.storage import Health
from tests.support.watch import watched
from tests.support.world import DESK, World

OUTAGE_S = 600.0
EVERY_S = 20.0
RECOVERED_S = 120.0


OnDisk = Callable[[str], bool | None]
"""Tells whether another than Perene finds a message in the database; None if none can look."""


class Traffic:
    """A friend and the session write to each other; it is noted who may count on what."""

    def __init__(self, world: World, phone: str, on_disk: OnDisk) -> None:
        self.world = world
        self.phone = phone
        self.friend = world.simulator.add_contact(name="Ana").account.phone
        self.received: list[str] = []
        self.accepted: list[str] = []
        self.unanswered: list[str] = []
        self.acknowledged = 0
        self._requests: list[asyncio.Task[None]] = []
        self.acknowledged_unstored: list[str] = []
        self.not_looked_up: list[str] = []
        self._on_disk = on_disk
        self._watch_answers()

    def _watch_answers(self) -> None:
        """Look, whenever the server is told to forget a message, whether a disk has it."""
        mailbox = self.world.server.device(self.phone).mailbox
        settle = mailbox.settle

        def watched(held: Held, how: str) -> None:
            message_id = held.stanza.attrs.get("id", "")
            if held.stanza.tag == "message":
                self.acknowledged += 1
                self._look_up(message_id)
            settle(held, how)

        setattr(mailbox, "settle", watched)  # noqa: B010  # a method

    def _look_up(self, message_id: str) -> None:
        stored = self._on_disk(message_id)
        if stored is None:
            self.not_looked_up.append(message_id)
        elif not stored:
            self.acknowledged_unstored.append(message_id)

    def disk_is_back(self) -> None:
        """Look for what was answered in the moment of the crash; nothing has been written since."""
        missed, self.not_looked_up = self.not_looked_up, []
        for message_id in missed:
            self._look_up(message_id)

    async def flow(self, seconds: float) -> None:
        """Let each write to the other now and then."""
        for _ in range(int(seconds / EVERY_S)):
            await self.world.pass_time(EVERY_S)
            text = f"in {len(self.received)}"
            self.received.append(text)
            self.world.simulator.send_text(self.friend, self.phone, text)
            self._requests.append(asyncio.create_task(self._send(f"out {len(self._requests)}")))

    @property
    def requested(self) -> int:
        """How many messages the session was asked to send."""
        return len(self._requests)

    async def _send(self, text: str) -> None:
        """Ask the session to send, and wait for its word as long as it takes."""
        try:
            await self.world.user.send(f"{self.friend}@s.whatsapp.net", text)
        except StorageError:
            self.unanswered.append(text)
        else:
            self.accepted.append(text)

    async def check(self) -> None:
        """Nothing was lost, nothing came twice, nothing was answered too early."""
        world = self.world
        await asyncio.gather(*self._requests)
        await world.server.answered(self.phone)
        # A database that committed and could not say so has taken what its asker was refused.
        sent = world.server.inbox(self.friend)
        taken = [text for text in self.unanswered if text in sent]
        assert Counter(await world.stored.texts()) == Counter(
            [*self.received, *self.accepted, *taken]
        )
        assert Counter(sent) == Counter([*self.accepted, *taken])
        assert self.acknowledged == len(self.received)
        assert (self.acknowledged_unstored, self.not_looked_up) == ([], [])
        assert world.simulator.evidence.reused_keys == []


@pytest.mark.parametrize("health", [one for one in Health if one is not Health.WELL])
@pytest.mark.requirement("C13", "D9", "E1", "E8", "F1")
async def test_a_database_outage_of_ten_minutes_loses_nothing_and_storms_nobody(
    world: World, tmp_path: Path, health: Health
) -> None:
    def on_disk(message_id: str) -> bool:
        with closing(sqlite3.connect(f"file:{tmp_path / 'perene.db'}?mode=ro", uri=True)) as disk:
            query = "SELECT count(*) FROM ledger WHERE external_id = ?"
            return disk.execute(query, (message_id,)).fetchone() == (1,)

    traffic = Traffic(world, await world.user.pair(), on_disk)
    await live_through(traffic, lambda: world.storage.falls_ill(health), world.storage.recovers)


@pytest.mark.requirement("C6", "C13", "E8", "F1")
async def test_a_postgresql_that_crashes_and_is_away_for_ten_minutes_loses_nothing(
    tmp_path: Path, template: Path
) -> None:
    def on_disk(message_id: str) -> bool | None:
        try:
            with psycopg.connect(server.conninfo("postgres")) as disk:
                query = "SELECT count(*) FROM ledger WHERE external_id = %s"
                return disk.execute(query, (message_id,)).fetchone() == (1,)
        except psycopg.OperationalError:
            return None

    with running_postgres("-c max_connections=20 -c shared_buffers=16MB") as server:
        async with World.open(tmp_path, template, url=server.url("postgres")) as world:
            traffic = Traffic(world, await world.user.pair(), on_disk)
            await live_through(traffic, server.stop, server.start)


async def live_through(
    traffic: Traffic, begin: Callable[[], None], end: Callable[[], None]
) -> None:
    """Let the traffic flow before, during and after an outage, and look at what came of it."""
    async with watched(traffic.world) as watch:
        began, ended = await _live_through(traffic, begin, end)
        fired, resolved = watch.pager.told("database_failing")
        assert fired.resolved_at is None
        assert fired.id == resolved.id, "it was one alert"
        assert resolved.resolved_at is not None
        # The database is tried within 20 s of its last save, and a try lasts 10 s; then the rules
        # are looked at within 10 s, and 20 s must be bad, or good.
        assert 20 <= (fired.fired_at - began).total_seconds() <= 60
        assert 20 <= (resolved.resolved_at - ended).total_seconds() <= 60
        assert (await watch.vitals.health()).components[0].ok
        (kept,) = [
            alert
            for alert in await watch.alerting.alerts(open_only=False, session=None, limit=100)
            if alert.rule == "database_failing"
        ]
        assert (kept.id, kept.resolved_at) == (fired.id, resolved.resolved_at)


async def _live_through(
    traffic: Traffic, begin: Callable[[], None], end: Callable[[], None]
) -> tuple[datetime, datetime]:
    """Return when the outage began and ended."""
    world = traffic.world
    await traffic.flow(120)
    since, dials, began = await world.events.now(), len(world.network.dials), world.clock.now()
    begin()
    # The last message from before may be in the database already, and its answer on the way.
    asked, first = world.storage.asked, traffic.requested
    await traffic.flow(OUTAGE_S)
    during = {f"out {number}" for number in range(first, traffic.requested)}
    assert during.isdisjoint(traffic.accepted), "who cannot keep a message does not take it"
    assert world.perene.state() is not State.OPEN, (
        "what is not read waits at WhatsApp, which keeps it"
    )
    assert world.network.dials[dials:] == [], "to connect without a database would be of no use"
    assert world.storage.asked - asked < 200, "a sick database is asked with patience"
    end()
    ended = world.clock.now()
    traffic.disk_is_back()
    took = await world.pass_time(RECOVERED_S, until=lambda: world.perene.state() is State.OPEN)
    assert took <= 33, "one look at the database, every 30 s at most"
    assert len(world.network.dials) - dials == 1
    await traffic.flow(120)
    await world.pass_time(60)
    await traffic.check()
    page = await world.perene.sessions.outages(DESK, cursor=None, limit=10)
    outage = page.items[0]
    assert (outage.cause, outage.end) == ("storage", OutageEnd.RECOVERED)
    assert 0 <= (outage.began_at - began).total_seconds() < 60
    assert outage.ended_at is not None
    assert outage.ended_at - outage.began_at > timedelta(seconds=OUTAGE_S - 60)
    (recovered,) = await world.events.seen(EventType.SESSION_RECOVERED, since=since)
    assert recovered.event.payload["cause"] == "storage"
    assert recovered.event.payload["outage"] == outage.id
    return began, ended


@pytest.mark.parametrize("after", range(1, 13))
@pytest.mark.requirement("C13", "D9", "E1", "E8", "F1")
async def test_a_database_that_restarts_costs_no_session_its_connection(
    world: World, after: int
) -> None:
    """It goes at any point of what a connection does for a message that comes and one that goes."""
    phone = await world.user.pair()
    await world.pass_time(60)
    friends = [world.simulator.add_contact(name=name).account.phone for name in ("Ana", "Rui")]
    position, dials = await world.events.now(), len(world.network.dials)
    world.storage.falls_ill(Health.FAILING, after=after)
    sending = asyncio.create_task(world.user.send(f"{friends[0]}@s.whatsapp.net", "from here"))
    for friend in friends:
        world.simulator.send_text(friend, phone, f"from {friend}")
    await world.pass_time(5)
    assert world.storage.is_ill
    world.storage.recovers()

    await world.pass_time(60)
    await sending
    await world.server.answered(phone)
    assert Counter(await world.stored.texts()) == Counter(
        ["from here", *(f"from {friend}" for friend in friends)]
    )
    assert world.server.inbox(friends[0]) == ["from here"]
    assert await world.events.seen(EventType.SESSION_DISCONNECTED, since=position) == []
    assert len(world.network.dials) == dials


DISK_FULL = StorageUnavailable("its disk is full, 53100")


@contextmanager
def messages_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, error: StorageError
) -> Generator[None]:
    """Let the database take everything but messages."""
    commit = world.perene.store.commit

    async def refuse(units: Sequence[Unit], commit_id: CommitId) -> Sequence[Outcome]:
        if any(unit.messages for unit in units):
            raise error
        return await commit(units, commit_id)

    with monkeypatch.context() as patched:
        patched.setattr(world.perene.store, "commit", refuse)
        yield


@pytest.mark.requirement("D9", "E1", "F1")
async def test_a_message_that_the_database_refuses_brings_no_storm_of_logins_and_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = await world.user.pair()
    await world.pass_time(60)
    friend = world.simulator.add_contact(name="Ana").account.phone
    logins = world.simulator.evidence.events["logins"]
    with messages_refused(world, monkeypatch, StorageError("the database refused a statement")):
        world.simulator.send_text(friend, phone, "refused")
        await world.pass_time(3600)
        assert 5 < world.simulator.evidence.events["logins"] - logins < 30
    await world.pass_time(1000, until=lambda: world.perene.state() is State.OPEN)
    await world.server.answered(phone)
    assert await world.stored.texts() == ["refused"]


@pytest.mark.requirement("E1", "F1")
async def test_an_alert_stays_while_a_database_takes_everything_but_messages(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk still lets rows be changed, and a table that is locked is not all of them."""
    phone = await world.user.pair()
    await world.pass_time(60)
    friend = world.simulator.add_contact(name="Ana").account.phone
    async with watched(world) as watch:
        with messages_refused(world, monkeypatch, DISK_FULL):
            world.simulator.send_text(friend, phone, "refused")
            await world.pass_time(1800)
            (fired,) = watch.pager.told("database_failing")
            assert fired.resolved_at is None
            database = (await watch.vitals.health()).components[0]
            assert not database.ok
            assert "its disk is full" in (database.detail or "")
        await world.pass_time(400, until=lambda: not watch.database.failing)
        await world.server.answered(phone)
        assert await world.stored.texts() == ["refused"]
        await world.pass_time(60)
        assert [one.resolved_at is None for one in watch.pager.told("database_failing")] == [
            True,
            False,
        ]


@pytest.mark.requirement("E8", "D9")
async def test_a_refused_message_that_nobody_comes_for_again_is_no_trouble_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = await world.user.pair()
    await world.pass_time(60)
    friend = world.simulator.add_contact(name="Ana").account.phone

    async def refuse(_units: Sequence[Unit], _commit_id: CommitId) -> Sequence[Outcome]:
        raise DISK_FULL

    async with watched(world) as watch:
        with monkeypatch.context() as patched:
            patched.setattr(world.perene.store, "commit", refuse)
            world.simulator.send_text(friend, phone, "refused")
            await world.pass_time(60, until=lambda: world.perene.state() is not State.OPEN)
            stopping = asyncio.create_task(world.perene.sessions.stop(DESK))
            await world.pass_time(60)
        await world.pass_time(500)
        await stopping
        assert not watch.database.failing
        assert (await watch.vitals.health()).components[0].ok


@pytest.mark.requirement("E8", "D9")
async def test_that_a_session_was_replaced_in_an_outage_is_kept_once_the_database_is_back(
    world: World,
) -> None:
    """It rests until a person comes, so nothing else is saved of it; a crash must not wake it."""
    phone = await world.user.pair()
    await world.pass_time(35)
    position = await world.events.now()
    world.storage.falls_ill(Health.FAILING)
    world.simulator.disconnect(phone, "replaced")
    await world.pass_time(120, until=lambda: world.perene.state() is State.NEEDS_ATTENTION)
    await world.pass_time(60)
    assert world.perene.state() is State.NEEDS_ATTENTION
    world.storage.recovers()
    await world.pass_time(60)

    assert len(await world.events.seen(EventType.SESSION_REPLACED, since=position)) == 1
    (outage,) = (await world.perene.sessions.outages(DESK, cursor=None, limit=10)).items
    assert (outage.cause, outage.ended_at) == ("replaced", None)
    dialled = len(world.network.dialled_by[DESK])
    await world.perene.kill()
    await world.perene.start()
    await world.pass_time(3600)
    assert world.perene.state() is State.NEEDS_ATTENTION
    assert len(world.network.dialled_by[DESK]) == dialled


@pytest.mark.requirement("C3", "E8", "F1")
async def test_a_session_comes_back_by_itself_when_the_database_forgot_who_took_it(
    world: World,
) -> None:
    """A fail-over to a server that lagged behind loses the last commits, the epoch among them.

    That nobody else has taken the session is plain: epochs only grow.
    """
    phone = await world.user.pair()
    await world.pass_time(60)
    ana = world.simulator.add_contact(name="Ana").account.phone
    position, began = await world.events.now(), world.clock.now()
    back = update(sessions).values(epoch=sessions.c.epoch - 1)
    await world.perene.store.database.write(lambda connection: connection.execute(back))
    async with watched(world) as watch:
        world.simulator.send_text(ana, phone, "hello")
        await world.pass_time(120, until=lambda: world.perene.state() is not State.OPEN)
        await world.pass_time(120, until=lambda: world.perene.state() is State.OPEN)
        assert (world.clock.now() - began).total_seconds() < 30
        await world.server.answered(phone)
        assert await world.stored.texts() == ["hello"]
        await world.pass_time(120)
        assert watch.pager.rules == set()
    (lost,) = await world.events.seen(EventType.SESSION_DISCONNECTED, since=position)
    assert lost.event.payload["cause"] == "storage"
    (outage,) = (await world.perene.sessions.outages(DESK, cursor=None, limit=10)).items[:1]
    assert (outage.cause, outage.end) == ("storage", OutageEnd.RECOVERED)


@pytest.mark.parametrize("after", [0, 1, 2, 3, 5, 8])
@pytest.mark.parametrize("health", [Health.FAILING, Health.MUTE])
@pytest.mark.requirement("C13", "D10", "E6", "E8", "F1")
async def test_a_crash_in_an_outage_costs_no_message_no_key_no_wish_and_one_login_of_a_ban(
    world: World, health: Health, after: int
) -> None:
    """The database falls ill at any point of a login that is refused, or before it."""
    phone = await world.user.pair()
    await world.pass_time(60)
    friend = world.simulator.add_contact(name="Ana").account.phone
    refused = world.simulator.evidence.events
    if after == 0:
        world.storage.falls_ill(health)
        world.simulator.send_text(friend, phone, "in the outage")
    world.simulator.ban(phone, timedelta(hours=6))
    if after:
        await world.settled()
        world.storage.falls_ill(health, after=after)
    await world.pass_time(300)
    world.storage.falls_ill(health)  # if it was not asked often enough
    if health is Health.FAILING:  # a mute one does what is asked, and nobody knows
        stopping = asyncio.create_task(world.perene.sessions.stop(DESK))
        await world.pass_time(10)
        with pytest.raises(StorageError):
            await stopping
    before = refused["logins_refused_402"]
    assert before <= 1
    await world.perene.kill()
    world.storage.recovers()
    await world.perene.start()

    await world.pass_time(60)
    assert refused["logins_refused_402"] <= before + 1
    seen = refused["logins_refused_402"]
    assert seen >= 1
    await world.pass_time(5 * 3600)
    assert refused["logins_refused_402"] == seen
    await world.pass_time(3600, until=lambda: world.perene.state() is State.OPEN)
    assert world.perene.state() is State.OPEN
    assert refused["pairings"] == 1
    if after == 0:
        await world.server.answered(phone)
        assert await world.stored.texts() == ["in the outage"]


@pytest.mark.requirement("D9", "E8")
async def test_a_crash_in_an_outage_forgets_that_a_session_was_replaced(world: World) -> None:
    """What nobody could store is learned anew, at the price of one login."""
    phone = await world.user.pair()
    await world.pass_time(35)
    world.storage.falls_ill(Health.FAILING)
    world.simulator.disconnect(phone, "replaced")
    await world.pass_time(120, until=lambda: world.perene.state() is State.NEEDS_ATTENTION)
    logins = world.simulator.evidence.events["logins"]
    await world.perene.kill()
    world.storage.recovers()
    await world.perene.start()
    await world.pass_time(120, until=lambda: world.perene.state() is State.OPEN)
    world.simulator.disconnect(phone, "replaced")
    await world.pass_time(3600)
    assert world.perene.state() is State.NEEDS_ATTENTION
    assert world.simulator.evidence.events["logins"] == logins + 1


@pytest.mark.requirement("C3", "E8", "F1")
async def test_a_session_comes_back_when_a_backup_was_restored_under_it(world: World) -> None:
    """The tables are made first and filled later: in between there is no session."""
    phone = await world.user.pair()
    await world.pass_time(60)
    ana = world.simulator.add_contact(name="Ana").account.phone
    await run(world, "UPDATE sessions SET id = 'not here yet'")
    world.simulator.send_text(ana, phone, "hello")
    with capture_logs() as lines:
        await world.pass_time(300)
    assert world.perene.state() is State.WAITING
    said = Counter(line["event"] for line in lines)
    assert "session_task_failed" not in said, "nothing of it is a bug"
    assert 10 <= said["session_not_acquired"] <= 20, "it is asked with patience"

    await run(world, "UPDATE sessions SET id = 'desk'")
    await world.pass_time(60, until=lambda: world.perene.state() is State.OPEN)
    await world.server.answered(phone)
    assert await world.stored.texts() == ["hello"]
    assert (await world.perene.store.get_session(DESK)).has_credentials


async def test_a_session_that_is_gone_from_the_database_can_be_let_go(world: World) -> None:
    await world.user.pair()
    await world.pass_time(60)
    await run(world, "DELETE FROM sessions")
    deleting = asyncio.create_task(world.perene.sessions.delete(DESK))
    await world.pass_time(60)
    with pytest.raises(NotFound):
        await deleting
    assert world.network.open_now(DESK) == 0
    assert not world.perene.supervisor.roster.is_running(DESK)


async def run(world: World, *statements: str) -> None:
    """Run statements in the database of a world, as its administrator."""
    for statement in statements:
        await world.perene.store.database.write(lambda c, one=statement: c.execute(text(one)))
