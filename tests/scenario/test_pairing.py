"""A session is linked to a phone, restarts, logs in, and is ready."""

import asyncio
import base64
import threading
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from perene.core.events import EventType
from perene.core.sessions import Connection as State
from perene.engine import pairing_code
from perene.engine.client_version import ClientVersion, parse_version
from perene.engine.config import FIRST_PRE_KEYS
from perene.engine.credentials import Credentials
from perene.engine.pairing_code import CodePairing, Finish
from perene.sim.candidate import PairingRefused
from perene.supervisor.fleet.versions import ClientVersions
from perene.supervisor.ports import PairingNotReady
from perene.wire.node import Node
from tests.support.record import PATIENCE_S
from tests.support.storage import Health
from tests.support.world import DESK, World

QUERY_TIMEOUT_S = 60.0


@pytest.mark.requirement("D1", "D2")
async def test_a_scanned_code_links_the_session_which_logs_in_at_once(world: World) -> None:
    phone = await world.user.pair()

    kinds = [one.event.type for one in await world.events.seen()]
    assert kinds == [
        EventType.SESSION_CREATED,
        EventType.SESSION_QR,
        EventType.SESSION_PAIRED,
        EventType.SESSION_CONNECTED,
    ], "the 515 that ends a pairing is part of it"
    assert (await world.perene.sessions.outages(DESK, cursor=None, limit=1)).items == []
    assert world.clock.monotonic() == 0
    view = await world.perene.sessions.session(DESK)
    assert view.connection is State.OPEN
    assert view.record.pn == f"{phone}:1@s.whatsapp.net"
    assert world.simulator.evidence.events["pairings"] == 1


async def test_a_linked_session_offers_pre_keys_that_it_has_stored(world: World) -> None:
    phone = await world.user.pair()

    offered = world.server.device(phone).keys.one_time
    counts = await world.perene.store.counts(DESK)
    assert (len(offered), counts.pre_keys) == (FIRST_PRE_KEYS, FIRST_PRE_KEYS)


async def test_a_code_typed_on_the_phone_links_the_session(world: World) -> None:
    phone = world.simulator.add_contact(name="Owner").account.phone
    await world.user.create()
    await world.perene.sessions.current_qr(DESK, wait_s=PATIENCE_S)

    code = await world.perene.sessions.request_pairing_code(DESK, phone)
    told = await world.events.wait(EventType.SESSION_PAIRING_CODE)
    assert code not in str(told.event.payload), "who may read events must not link a device"
    world.simulator.enter_code(phone, code)
    await world.events.wait(EventType.SESSION_CONNECTED)

    record = (await world.perene.sessions.session(DESK)).record
    assert record.pn == f"{phone}:1@s.whatsapp.net"


async def test_a_session_shows_until_when_its_code_can_be_typed(world: World) -> None:
    phone = await shown(world)
    assert (await world.perene.sessions.session(DESK)).code_expires_at is None

    await world.perene.sessions.request_pairing_code(DESK, phone)
    until = world.clock.now() + timedelta(seconds=180)
    assert (await world.perene.sessions.session(DESK)).code_expires_at == until

    await world.network.cut(DESK)
    await world.events.wait(EventType.SESSION_DISCONNECTED)
    await world.pass_time(5, until=lambda: world.perene.live().qr is not None)
    assert world.perene.state() is State.PAIRING
    assert (await world.perene.sessions.session(DESK)).code_expires_at is None


@pytest.mark.parametrize("way", ["by QR", "by code"])
async def test_a_release_that_is_too_old_to_be_linked_links_with_the_live_version(
    world: World, way: str
) -> None:
    """A phone only says that it couldn't link such a device (Baileys#2679, 2026-07-01)."""
    world.simulator.require_version((2, 3000, 1_060_000_001), to_link=True)
    world.perene.versions = versions(world)
    await world.perene.restart()
    phone = await shown(world)
    await taken(world, phone, way)
    await world.events.wait(EventType.SESSION_CONNECTED)
    assert world.simulator.evidence.events["outdated_not_linked"] == 0


async def test_a_stop_while_the_live_version_is_looked_for_is_heeded(world: World) -> None:
    looking, never = asyncio.Event(), asyncio.Event()

    async def hanging() -> ClientVersion:
        looking.set()
        await never.wait()
        raise AssertionError

    world.perene.versions = versions(world, fetch=hanging)
    await world.perene.restart()
    await world.user.create()
    await looking.wait()
    await world.perene.sessions.stop(DESK)
    await world.until(lambda: world.perene.state() is State.STOPPED, "the stop")
    assert world.clock.monotonic() == 0


async def test_a_code_that_the_server_has_replaced_is_shown_anew_and_then_links(
    world: World,
) -> None:
    """As for many accounts since July 2026 (Baileys#2737): each scan of the first code is lost."""
    phone = await shown(world)
    world.simulator.add_fault("refresh_registration", phone=phone)
    first = await world.perene.sessions.current_qr(DESK, wait_s=0)
    await world.pass_time(15)
    position = await world.events.now()
    world.simulator.scan_qr(first.text, phone)
    await world.events.wait(EventType.SESSION_QR, since=position)

    fresh = await world.perene.sessions.current_qr(DESK, wait_s=0)
    assert fresh.text != first.text
    assert fresh.expires_at == first.expires_at, "the time of its ref goes on"
    with pytest.raises(PairingRefused):
        world.simulator.scan_qr(first.text, phone)
    world.simulator.scan_qr(fresh.text, phone)
    await world.events.wait(EventType.SESSION_CONNECTED)
    assert await world.events.seen(EventType.SESSION_DISCONNECTED) == []


async def test_a_code_that_was_replaced_gives_way_to_the_next_one_in_time(world: World) -> None:
    phone = await shown(world)
    world.simulator.add_fault("refresh_registration", phone=phone)
    first = await world.perene.sessions.current_qr(DESK, wait_s=0)
    world.simulator.scan_qr(first.text, phone)
    await world.settled()
    secret = (await world.perene.sessions.current_qr(DESK, wait_s=0)).text.split(",")[3]
    await world.pass_time(61)

    following = await world.perene.sessions.current_qr(DESK, wait_s=0)
    assert following.expires_at == first.expires_at + timedelta(seconds=20)
    assert following.text.split(",")[3] == secret != first.text.split(",")[3]


async def test_who_types_a_code_is_linked_though_the_secret_was_replaced(world: World) -> None:
    """And though an empty word comes ahead of the phone's (Baileys#2600)."""
    phone = await shown(world)
    scanning = world.simulator.add_contact(name="Scanning").account.phone
    code = await world.perene.sessions.request_pairing_code(DESK, phone)
    world.simulator.add_fault("refresh_registration", phone=scanning)
    world.simulator.add_fault("empty_code_notice")
    qr = await world.perene.sessions.current_qr(DESK, wait_s=0)
    world.simulator.scan_qr(qr.text, scanning)
    world.simulator.enter_code(phone, code)
    await world.events.wait(EventType.SESSION_CONNECTED)

    assert await world.events.seen(EventType.SESSION_DISCONNECTED) == []
    assert (await world.perene.sessions.session(DESK)).record.pn == f"{phone}:1@s.whatsapp.net"


async def test_who_types_a_code_is_linked_though_a_senseless_answer_comes_first(
    world: World,
) -> None:
    phone = await shown(world)
    code = await world.perene.sessions.request_pairing_code(DESK, phone)
    world.simulator.add_fault("odd_code_notice")
    world.simulator.enter_code(phone, code)
    await world.events.wait(EventType.SESSION_CONNECTED)
    assert await world.events.seen(EventType.SESSION_DISCONNECTED) == []


async def test_a_typed_code_that_whatsapp_takes_back_is_shown_as_over(world: World) -> None:
    phone = await shown(world)
    await world.perene.sessions.request_pairing_code(DESK, phone)
    world.simulator.service.pairing.refresh_code(phone)
    await world.until(lambda: world.perene.live().code_expires_at == world.clock.now(), "the end")

    assert world.perene.state() is State.PAIRING
    code = await world.perene.sessions.request_pairing_code(DESK, phone)
    world.simulator.enter_code(phone, code)
    await world.events.wait(EventType.SESSION_CONNECTED)


async def test_a_typed_code_of_which_whatsapp_refuses_the_answer_is_shown_as_over(
    world: World,
) -> None:
    """As WhatsApp Web does (whatsapp-rust pull request 1198, 2026-07-30)."""
    phone = await shown(world)
    code = await world.perene.sessions.request_pairing_code(DESK, phone)
    world.simulator.add_fault("refuse_code", code=400)
    await world.pass_time(5)
    world.simulator.enter_code(phone, code)
    await world.until(lambda: world.perene.live().code_expires_at == world.clock.now(), "the end")

    assert world.perene.state() is State.PAIRING
    code = await world.perene.sessions.request_pairing_code(DESK, phone)
    world.simulator.enter_code(phone, code)
    await world.events.wait(EventType.SESSION_CONNECTED)


async def test_a_code_that_is_over_keeps_no_fresh_qr_code_waiting(world: World) -> None:
    phone = await shown(world)
    await world.pass_time(150)
    code = await world.perene.sessions.request_pairing_code(DESK, phone)
    await world.pass_time(20)  # there are no QR codes left
    world.simulator.add_fault("refuse_code", code=500)
    position = await world.events.now()
    world.simulator.enter_code(phone, code)
    ended = await world.events.wait(EventType.SESSION_DISCONNECTED, since=position)
    assert ended.event.payload["cause"] == "pairing_expired"


async def test_a_wrong_code_links_nothing(world: World) -> None:
    phone = world.simulator.add_contact(name="Owner").account.phone
    await world.user.create()
    await world.perene.sessions.current_qr(DESK, wait_s=PATIENCE_S)

    await world.perene.sessions.request_pairing_code(DESK, phone)
    world.simulator.enter_code(phone, "1111-1111")
    await world.until(
        lambda: (
            world.simulator.evidence.events["wrong_codes"] == 1
            or world.perene.state() is State.WAITING
        ),
        "the code to be refused",
    )

    assert world.simulator.evidence.events["pairings"] == 0
    assert (await world.perene.sessions.session(DESK)).record.pn is None


@pytest.mark.parametrize("way", ["by QR", "by code"])
async def test_an_account_that_wants_its_passkey_is_told_of_and_shown_no_further_code(
    world: World, way: str
) -> None:
    phone = await shown(world)
    world.simulator.add_fault("ask_passkey")
    position = await world.events.now()
    await taken(world, phone, way)

    ended = await world.events.wait(EventType.SESSION_DISCONNECTED, since=position)
    assert ended.event.payload["cause"] == "passkey_required"
    await world.events.wait(EventType.SESSION_NEEDS_ATTENTION, since=position)
    await world.pass_time(3600)
    assert len(await world.events.seen(EventType.SESSION_QR)) == 1
    view = await world.perene.sessions.session(DESK)
    assert (view.connection, view.record.pn) == (State.NEEDS_ATTENTION, None)
    assert "passkey" in (view.last_error or "")

    # A person may try again, with another account for one.
    await world.perene.sessions.start(DESK)
    world.simulator.scan_qr(
        (await world.perene.sessions.current_qr(DESK, wait_s=PATIENCE_S)).text, phone
    )
    await world.events.wait(EventType.SESSION_CONNECTED, since=position)


async def test_a_phone_that_is_too_old_to_link_devices_is_told_of_and_the_next_code_links(
    world: World,
) -> None:
    phone = await shown(world)
    world.simulator.add_fault("downgrade")
    position = await world.events.now()
    await taken(world, phone, "by QR")

    ended = await world.events.wait(EventType.SESSION_DISCONNECTED, since=position)
    assert ended.event.payload["cause"] == "phone_outdated"
    view = await world.perene.sessions.session(DESK)
    assert "Update WhatsApp" in (view.last_error or "")

    # It was updated meanwhile.
    await world.pass_time(2)
    await world.events.wait(EventType.SESSION_QR, since=position)
    world.simulator.scan_qr(
        (await world.perene.sessions.current_qr(DESK, wait_s=PATIENCE_S)).text, phone
    )
    await world.events.wait(EventType.SESSION_CONNECTED, since=position)


async def test_codes_follow_one_another_until_they_run_out_and_then_new_ones_come(
    world: World,
) -> None:
    await world.user.create()
    shown = [(await world.perene.sessions.current_qr(DESK, wait_s=PATIENCE_S)).text]
    for wait in (60, 20, 20, 20, 20):
        await world.clock.until_asleep(wait)
        await world.clock.advance(wait)
        shown.append((await world.perene.sessions.current_qr(DESK, wait_s=PATIENCE_S)).text)
    assert len(set(shown)) == 6

    await world.clock.until_asleep(20)
    await world.clock.advance(20)
    ended = await world.events.wait(EventType.SESSION_DISCONNECTED, cause="pairing_expired")
    delay = ended.event.payload["retry_in_s"]
    assert isinstance(delay, float)
    await world.clock.until_asleep(delay)
    await world.clock.advance(delay)
    fresh = await world.perene.sessions.current_qr(DESK, wait_s=PATIENCE_S)
    assert fresh.text not in shown


async def test_a_code_that_could_never_link_is_not_shown(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = await shown(world)

    def hollow(*_: object) -> Node:
        return Node("link_code_companion_reg")

    monkeypatch.setattr("perene.sim.code_offers.CodeOffers.hello", hollow)
    with pytest.raises(PairingNotReady):
        await world.perene.sessions.request_pairing_code(DESK, phone)
    assert (await world.perene.sessions.session(DESK)).code_expires_at is None


async def test_codes_that_nobody_looks_at_come_ever_more_seldom_and_at_once_to_who_asks(
    world: World,
) -> None:
    await shown(world)
    await world.pass_time(24 * 3600)
    assert len(world.network.dialled_by[DESK]) < 75

    await world.until(lambda: world.perene.state() is State.WAITING, "the session to rest")
    before = world.clock.now()
    fresh = await world.perene.sessions.current_qr(DESK, wait_s=PATIENCE_S)
    assert fresh.expires_at == before + timedelta(seconds=60)


async def test_a_pairing_code_outlives_the_qr_codes(world: World) -> None:
    phone = world.simulator.add_contact(name="Owner").account.phone
    await world.user.create()
    await world.perene.sessions.current_qr(DESK, wait_s=PATIENCE_S)
    for wait in (60, 20, 20, 20, 20):
        await world.clock.until_asleep(wait)
        await world.clock.advance(wait)

    code = await world.perene.sessions.request_pairing_code(DESK, phone)
    await world.clock.until_asleep(20)
    await world.clock.advance(100)
    world.simulator.enter_code(phone, code)
    await world.events.wait(EventType.SESSION_CONNECTED)

    assert await world.events.seen(EventType.SESSION_DISCONNECTED) == [], "no code expired"


async def test_a_code_that_is_typed_in_its_last_second_links(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows takes the phone and the server some seconds more."""
    phone = await shown(world)
    await world.pass_time(139)
    code = await world.perene.sessions.request_pairing_code(DESK, phone)
    typed, over, finish = asyncio.Event(), threading.Event(), pairing_code.finish
    loop = asyncio.get_running_loop()

    def finish_late(pairing: CodePairing, notification: Node, own: Credentials) -> Finish:
        loop.call_soon_threadsafe(typed.set)
        over.wait(PATIENCE_S)
        return finish(pairing, notification, own)

    monkeypatch.setattr(pairing_code, "finish", finish_late)
    await world.pass_time(179)
    world.simulator.enter_code(phone, code)
    async with asyncio.timeout(PATIENCE_S):
        await typed.wait()
    await world.clock.advance(5)
    over.set()
    await world.events.wait(EventType.SESSION_CONNECTED)
    assert await world.events.seen(EventType.SESSION_DISCONNECTED) == []


async def test_a_qr_code_whose_time_is_over_is_not_shown_while_a_typed_one_is_waited_for(
    world: World,
) -> None:
    phone = await shown(world)
    await world.pass_time(150)
    code = await world.perene.sessions.request_pairing_code(DESK, phone)
    await world.pass_time(60)

    with pytest.raises(PairingNotReady):
        await world.perene.sessions.current_qr(DESK, wait_s=0)
    assert not (await world.perene.sessions.session(DESK)).qr_available
    world.simulator.enter_code(phone, code)
    await world.events.wait(EventType.SESSION_CONNECTED)


@pytest.mark.requirement("C13")
async def test_a_scan_that_could_not_be_stored_has_linked_nothing(
    tmp_path: Path, template: Path
) -> None:
    async with World.open(tmp_path, template) as world:
        phone = await shown(world)
        qr = await world.perene.sessions.current_qr(DESK, wait_s=PATIENCE_S)
        world.perene.commits.refuse(lambda unit: unit.profile is not None)
        world.simulator.scan_qr(qr.text, phone)
        await world.events.wait(EventType.SESSION_DISCONNECTED, cause="storage")
        world.perene.commits.accept()
        await world.pass_time(10)

        assert world.perene.state() is State.PAIRING
        assert not world.perene.live().paired
        assert (await world.perene.sessions.outages(DESK, cursor=None, limit=1)).items == []
        qr = await world.perene.sessions.current_qr(DESK, wait_s=PATIENCE_S)
        world.simulator.scan_qr(qr.text, phone)
        await world.events.wait(EventType.SESSION_CONNECTED)
        await world.pass_time(60)
        assert (await world.perene.sessions.outages(DESK, cursor=None, limit=1)).items == []


@pytest.mark.requirement("C13", "D9")
async def test_a_scan_is_confirmed_once_the_database_says_whose_the_session_is(
    world: World,
) -> None:
    await scanned_as_the_database_fails(world)
    dials = len(world.network.dials)
    await world.pass_time(QUERY_TIMEOUT_S / 2)
    assert world.perene.state() is State.PAIRING, "the server waits for the confirmation"
    world.storage.recovers()
    await world.pass_time(10, until=lambda: world.perene.state() is State.OPEN)
    assert len(world.network.dials) - dials == 1, "the login that follows upon linking"


@pytest.mark.requirement("C13", "D9")
async def test_a_scan_that_the_database_was_away_too_long_for_is_asked_for_once_more(
    world: World,
) -> None:
    phone = await scanned_as_the_database_fails(world)
    await world.pass_time(QUERY_TIMEOUT_S * 5)
    world.storage.recovers()
    await world.pass_time(60, until=lambda: world.perene.live().qr is not None)
    qr = await world.perene.sessions.current_qr(DESK, wait_s=PATIENCE_S)
    world.simulator.scan_qr(qr.text, phone)
    await world.pass_time(60, until=lambda: world.perene.state() is State.OPEN)
    assert world.perene.state() is State.OPEN


@pytest.mark.requirement("D2")
async def test_an_unlinked_session_asks_for_a_new_code_and_keeps_its_messages(
    world: World,
) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account.phone
    world.simulator.send_text(ana, phone, "before")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="before")

    world.simulator.unlink(phone)
    ended = await world.events.wait(EventType.SESSION_DISCONNECTED, cause="unlinked")
    await world.events.wait(EventType.SESSION_NEEDS_PAIRING)
    delay = ended.event.payload["retry_in_s"]
    assert isinstance(delay, float)
    await world.clock.until_asleep(delay)
    await world.clock.advance(delay)
    qr = await world.perene.sessions.current_qr(DESK, wait_s=PATIENCE_S)
    position = await world.events.now()
    world.simulator.scan_qr(qr.text, phone)
    await world.events.wait(EventType.SESSION_CONNECTED, since=position)

    assert len(await world.perene.store.archived_credentials(DESK)) == 1
    assert await world.stored.texts() == ["before"]


@pytest.mark.requirement("F7")
async def test_no_key_of_a_linked_session_is_on_the_disk_in_the_clear(
    world: World, tmp_path: Path
) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account.phone
    world.simulator.send_text(ana, phone, "hello")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="hello")
    record = await world.perene.store.get_session(DESK)
    reader = world.perene.store.reader(DESK, record.epoch)
    stored = await reader.credentials()
    assert stored is not None
    own = Credentials.parse(stored)
    [(key_id, pre_key)] = (await reader.pre_keys([FIRST_PRE_KEYS - 1])).items()
    assert key_id == FIRST_PRE_KEYS - 1

    secrets = (own.noise.private, own.identity.private, own.adv_secret, pre_key)
    on_disk = await asyncio.to_thread(
        lambda: b"".join(path.read_bytes() for path in tmp_path.glob("perene.db*"))
    )
    assert b"hello" in on_disk  # it is the right file
    for secret in secrets:
        for form in (secret, base64.b64encode(secret), secret.hex().encode()):
            assert form not in on_disk


async def test_a_code_that_was_mistyped_can_be_typed_again(world: World) -> None:
    phone = await shown(world)
    code = await world.perene.sessions.request_pairing_code(DESK, phone)

    world.simulator.enter_code(phone, "1111-1111")
    await world.settled()
    world.simulator.enter_code(phone, code)
    await world.events.wait(EventType.SESSION_CONNECTED)

    assert world.simulator.evidence.events["wrong_codes"] == 1
    assert (await world.perene.sessions.session(DESK)).record.pn == f"{phone}:1@s.whatsapp.net"


async def test_who_mistyped_the_code_can_scan_the_qr_code_that_is_shown(world: World) -> None:
    phone = await shown(world)
    qr = await world.perene.sessions.current_qr(DESK, wait_s=PATIENCE_S)
    await world.perene.sessions.request_pairing_code(DESK, phone)

    world.simulator.enter_code(phone, "1111-1111")
    await world.settled()
    world.simulator.scan_qr(qr.text, phone)
    await world.events.wait(EventType.SESSION_CONNECTED)


async def test_a_code_that_was_replaced_does_not_spoil_the_one_that_replaced_it(
    world: World,
) -> None:
    phone = await shown(world)
    other = world.simulator.add_contact(name="Other").account.phone
    old = await world.perene.sessions.request_pairing_code(DESK, other)
    code = await world.perene.sessions.request_pairing_code(DESK, phone)

    world.simulator.enter_code(other, old)
    await world.settled()
    assert world.perene.state() is State.PAIRING
    world.simulator.enter_code(phone, code)
    await world.events.wait(EventType.SESSION_CONNECTED)

    assert (await world.perene.sessions.session(DESK)).record.pn == f"{phone}:1@s.whatsapp.net"


async def test_who_scans_while_another_types_is_linked_and_stays_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    typing = await shown(world)
    scanning = world.simulator.add_contact(name="Scanning").account.phone
    code = await world.perene.sessions.request_pairing_code(DESK, typing)
    qr = await world.perene.sessions.current_qr(DESK, wait_s=PATIENCE_S)
    scanned, finish = threading.Event(), pairing_code.finish

    def finish_late(pairing: CodePairing, notification: Node, own: Credentials) -> Finish:
        done = finish(pairing, notification, own)
        scanned.wait(PATIENCE_S)
        return done

    monkeypatch.setattr(pairing_code, "finish", finish_late)
    # The server tells nobody to restart, so that the connection outlives the answer to the code.
    world.simulator.add_fault("end_linking", phone=scanning, how="silence")
    world.simulator.enter_code(typing, code)
    world.simulator.scan_qr(qr.text, scanning)
    await world.until(lambda: world.simulator.evidence.events["pairings"] == 1, "the scan")
    scanned.set()
    await world.pass_time(240, until=lambda: world.perene.state() is State.OPEN)

    assert world.perene.state() is State.OPEN
    assert (await world.perene.sessions.session(DESK)).record.pn == f"{scanning}:1@s.whatsapp.net"


async def shown(world: World) -> str:
    """Bring a session to the codes that it shows; return the number of somebody's phone."""
    await world.user.create()
    await world.perene.sessions.current_qr(DESK, wait_s=PATIENCE_S)
    return world.simulator.add_contact(name="Owner").account.phone


async def taken(world: World, phone: str, way: str) -> None:
    """Have the phone take the code that is shown, "by QR", or one that is typed."""
    if way == "by QR":
        world.simulator.scan_qr(
            (await world.perene.sessions.current_qr(DESK, wait_s=0)).text, phone
        )
    else:
        code = await world.perene.sessions.request_pairing_code(DESK, phone)
        world.simulator.enter_code(phone, code)


async def scanned_as_the_database_fails(world: World) -> str:
    """Have a code scanned: that is stored, and nothing else is; return the phone's number."""
    phone = await shown(world)
    qr = await world.perene.sessions.current_qr(DESK, wait_s=PATIENCE_S)
    world.storage.falls_ill(Health.FAILING, once=lambda: world.perene.live().paired)
    world.simulator.scan_qr(qr.text, phone)
    await world.until(lambda: world.storage.is_ill, "the pairing is stored")
    return phone


def versions(
    world: World, fetch: Callable[[], Awaitable[ClientVersion]] | None = None
) -> ClientVersions:
    """Return the version of an old release, and where the live one is found."""

    async def live() -> ClientVersion:
        wanted = world.simulator.faults.linking_version
        return parse_version(world.simulator.web_version.text(wanted))

    return ClientVersions(
        store=world.perene.store,
        fetch=fetch or live,
        default=(2, 3000, 1_035_194_821),
        override=None,
        clock=world.clock,
        endpoint="the simulator",
    )
