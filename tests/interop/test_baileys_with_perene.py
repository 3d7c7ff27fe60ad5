"""A Baileys client and a Perene session talk through the simulator, each in a process of its own.

Both ends must have read every message exactly once, with the same text, in the order in which the
other sent it. What goes wrong between them is provoked in `test_baileys_parted_from_perene.py`.
"""

import asyncio
import itertools

import httpx
import pytest
import pytest_asyncio

from perene.sim import SimServer
from tests.interop.baileys import BaileysClient
from tests.interop.people import People
from tests.interop.talk import acquaint, heard_by_baileys, heard_by_perene, tell
from tests.support.gateway import Gateway

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.requirement("F8"),
    pytest.mark.timeout(120),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def club(ana: BaileysClient, bruno: BaileysClient, gateway: Gateway, desk: str) -> str:
    """A group of the three."""
    return await ana.create_group(
        "Club", [await bruno.phone_number(), await gateway.phone_number(desk)]
    )


async def test_a_session_is_paired_by_scanning_its_qr_code(gateway: Gateway, desk: str) -> None:
    session = await gateway.session(desk)

    assert (session["connection"], session["paired"]) == ("open", True)
    assert [one.kind for one in gateway.events.occurrences if one["session"] == desk][:4] == [
        "session.created",
        "session.qr",
        "session.paired",
        "session.connected",  # the 515 in between is part of pairing
    ]


async def test_a_session_is_paired_by_a_code_typed_on_the_phone(
    gateway: Gateway, server: SimServer, ana: BaileysClient
) -> None:
    phone = server.simulator.add_contact(name="Counter").account.phone
    await gateway.create_session("counter")
    await gateway.qr_text("counter")  # returns once the server has offered to pair

    code = await gateway.pairing_code("counter", phone)
    server.simulator.enter_code(phone, code)
    await gateway.events.wait("session.connected", session="counter")
    sent = await tell(gateway, "counter", await ana.phone_number(), "paired by code")
    read = await ana.events.wait("message", id=sent)

    assert await gateway.phone_number("counter") == f"{phone}@s.whatsapp.net"
    assert read["text"] == "paired by code"


async def test_baileys_writes_to_perene_first(people: People, gateway: Gateway, desk: str) -> None:
    carla = await people.join("Carla")

    asked = await carla.send(await gateway.phone_number(desk), "Are you open today?")
    question = await gateway.events.wait("message.received", session=desk, message_id=asked)
    answered = await tell(gateway, desk, question["chat"], "Until six.")
    answer = await carla.events.wait("message", id=answered)

    assert (question["text"], question["push_name"]) == ("Are you open today?", "Carla")
    assert answer["text"] == "Until six."
    assert (await carla.events.wait("stanza", id=answered))["enc"] == ["msg"]
    await carla.events.wait("receipt", ids=[asked])


async def test_perene_writes_to_baileys_first(people: People, gateway: Gateway, desk: str) -> None:
    davi = await people.join("Davi")

    told = await tell(gateway, desk, await davi.phone_number(), "Your parcel is here.")
    news = await davi.events.wait("message", id=told)
    thanked = await davi.send(news["chat"], "Thanks!")
    thanks = await gateway.events.wait("message.received", session=desk, message_id=thanked)

    assert news["text"] == "Your parcel is here."
    assert thanks["text"] == "Thanks!"
    assert (await davi.events.wait("stanza", id=told))["enc"] == ["pkmsg"]
    await gateway.events.wait("message.status", session=desk, message_id=told, status="delivered")


@pytest.mark.requirement("C8", "C9")
async def test_a_conversation_is_read_in_order_and_once(
    gateway: Gateway, desk: str, ana: BaileysClient
) -> None:
    await acquaint(gateway, desk, ana)
    since = ana.events.now
    from_ana = [f"ana says {number}" for number in range(25)]
    from_desk = [f"desk says {number}" for number in range(25)]

    sent = await ana.send_all(await gateway.phone_number(desk), from_ana)
    for text in from_desk:
        await tell(gateway, desk, await ana.phone_number(), text)
    await ana.send(await gateway.phone_number(desk), "ana is done")
    await tell(gateway, desk, await ana.phone_number(), "desk is done")
    await ana.events.wait("message", since=since, text="desk is done")
    await gateway.events.wait("message.received", session=desk, text="ana is done")

    assert heard_by_baileys(ana, "desk says", since=since) == from_desk
    assert await heard_by_perene(gateway, desk, "ana says") == list(
        zip(sent, from_ana, strict=True)
    )
    said = (*from_ana, *from_desk)
    chats = {one["chat"] for one in await gateway.messages(desk) if one["text"] in said}
    assert len(chats) == 1


async def test_a_group_reads_each_of_its_members(
    gateway: Gateway, desk: str, ana: BaileysClient, bruno: BaileysClient, club: str
) -> None:
    since_ana, since_bruno = ana.events.now, bruno.events.now

    first = await tell(gateway, desk, club, "desk to the club 1")
    second = await tell(gateway, desk, club, "desk to the club 2")
    for friend in (ana, bruno):
        await friend.events.wait("message", id=first)
        await friend.events.wait("message", id=second)
    by_ana = await ana.send_all(club, ["ana to the club 1", "ana to the club 2"])
    by_bruno = await bruno.send_all(club, ["bruno to the club 1", "bruno to the club 2"])
    for sent in (*by_ana, *by_bruno):
        await gateway.events.wait("message.received", session=desk, message_id=sent, chat=club)

    expected = ["desk to the club 1", "desk to the club 2"]
    assert heard_by_baileys(ana, "desk to the club", since=since_ana) == expected
    assert heard_by_baileys(bruno, "desk to the club", since=since_bruno) == expected
    for name, ids in (("ana", by_ana), ("bruno", by_bruno)):
        texts = [f"{name} to the club 1", f"{name} to the club 2"]
        heard = await heard_by_perene(gateway, desk, f"{name} to the club")
        assert heard == list(zip(ids, texts, strict=True))


async def test_another_device_of_the_account_shares_the_conversation(
    people: People, gateway: Gateway, desk: str, ana: BaileysClient
) -> None:
    number = await gateway.phone_number(desk)
    await acquaint(gateway, desk, ana)
    twin = await people.join("Twin", number.partition("@")[0])

    by_twin = await twin.send(await ana.phone_number(), "from the other desk")
    copied = await gateway.events.wait("message.received", session=desk, message_id=by_twin)
    by_desk = await tell(gateway, desk, await ana.phone_number(), "from this desk")
    copy = await twin.events.wait("message", id=by_desk)
    await ana.events.wait("message", id=by_twin)
    await ana.events.wait("message", id=by_desk)

    assert (copied["text"], copied["from_me"]) == ("from the other desk", True)
    assert (copy["text"], copy["fromMe"]) == ("from this desk", True)
    chats = {one["chat"] for one in await gateway.messages(desk) if one["id"] in (by_twin, by_desk)}
    assert len(chats) == 1


async def test_perene_sees_that_its_message_was_read(
    gateway: Gateway, desk: str, ana: BaileysClient
) -> None:
    told = await tell(gateway, desk, await ana.phone_number(), "please read this")
    message = await ana.events.wait("message", id=told)
    await ana.read(message)

    await gateway.events.wait("message.status", session=desk, message_id=told, status="read")


@pytest.mark.requirement("F5")
async def test_a_repeated_request_sends_one_message(
    gateway: Gateway, desk: str, ana: BaileysClient
) -> None:
    await acquaint(gateway, desk, ana)
    since = ana.events.now
    to = await ana.phone_number()

    first = await gateway.send(desk, to=to, text="only once", key="only-once")
    second = await gateway.send(desk, to=to, text="only once", key="only-once")
    last = await tell(gateway, desk, to, "and no more")
    await ana.events.wait("message", id=last)

    assert first == second
    assert heard_by_baileys(ana, "only once", since=since) == ["only once"]


@pytest.mark.requirement("C1")
async def test_closing_event_streams_does_not_touch_the_session(
    gateway: Gateway, desk: str, ana: BaileysClient
) -> None:
    await acquaint(gateway, desk, ana)
    before = await gateway.session(desk)
    position = gateway.events.now

    for _ in range(5):
        async with gateway.http.stream("GET", "/v1/events") as stream:
            assert stream.status_code == httpx.codes.OK
    sent = await ana.send(await gateway.phone_number(desk), "are you still there?")
    await gateway.events.wait("message.received", session=desk, message_id=sent)
    after = await gateway.session(desk)

    assert after["connected_at"] == before["connected_at"]
    lost = gateway.events.seen("session.disconnected", since=position, session=desk)
    assert lost == []


async def test_several_people_write_at_the_same_time(
    gateway: Gateway, desk: str, ana: BaileysClient, bruno: BaileysClient
) -> None:
    await acquaint(gateway, desk, ana)
    await acquaint(gateway, desk, bruno)
    to = await gateway.phone_number(desk)
    by_ana = [f"ana in parallel {number}" for number in range(30)]
    by_bruno = [f"bruno in parallel {number}" for number in range(30)]

    sent = await asyncio.gather(ana.send_all(to, by_ana), bruno.send_all(to, by_bruno))
    for message in itertools.chain(*sent):
        await gateway.events.wait("message.received", session=desk, message_id=message)

    heard = await heard_by_perene(gateway, desk, "ana in parallel")
    assert [text for _, text in heard] == by_ana
    heard = await heard_by_perene(gateway, desk, "bruno in parallel")
    assert [text for _, text in heard] == by_bruno
