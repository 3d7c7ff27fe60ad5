"""Two unmodified Baileys clients, on different accounts, use the simulator as they use WhatsApp.

Nothing of the engine takes part: what passes here shows that the simulator keeps to the protocol as
a third party understands it, and so can judge the engine.
"""

import base64
from functools import partial
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from perene.sim import SimServer, Simulator, serve
from tests.interop.baileys import BaileysClient
from tests.interop.people import People

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.requirement("F8"),
    pytest.mark.timeout(120),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def club(ana: BaileysClient, bruno: BaileysClient) -> str:
    """A group of the two."""
    return await ana.create_group("Club", [await bruno.phone_number()])


async def test_two_strangers_write_to_each_other(people: People) -> None:
    carla, davi = await people.join("Carla"), await people.join("Davi")

    asked = await carla.send(await davi.phone_number(), "Davi, is it you?")
    question = await davi.events.wait("message", id=asked)
    answered = await davi.send(question["chat"], "It is.")
    answer = await carla.events.wait("message", id=answered)

    assert question["text"] == "Davi, is it you?"
    assert question["pushName"] == "Carla"
    assert answer["text"] == "It is."
    assert (await davi.events.wait("stanza", id=asked))["enc"] == ["pkmsg"]
    assert (await carla.events.wait("stanza", id=answered))["enc"] == ["msg"]
    await carla.events.wait("receipt", ids=[asked])


async def test_a_conversation_is_read_in_order_and_once(
    ana: BaileysClient, bruno: BaileysClient
) -> None:
    await acquainted(ana, bruno)
    since_ana, since_bruno = ana.events.now, bruno.events.now
    from_ana = [f"ana {number}" for number in range(20)]
    from_bruno = [f"bruno {number}" for number in range(20)]

    await ana.send_all(await bruno.phone_number(), [*from_ana, "ana is done"])
    await bruno.send_all(await ana.phone_number(), [*from_bruno, "bruno is done"])
    await bruno.events.wait("message", since=since_bruno, text="ana is done")
    await ana.events.wait("message", since=since_ana, text="bruno is done")

    assert texts(bruno, since_bruno) == [*from_ana, "ana is done"]
    assert texts(ana, since_ana) == [*from_bruno, "bruno is done"]


async def test_a_group_reads_each_of_its_members(
    ana: BaileysClient, bruno: BaileysClient, club: str
) -> None:
    since_ana, since_bruno = ana.events.now, bruno.events.now

    await ana.send_all(club, ["welcome", "all of you"])
    heard = await bruno.receive(2, since=since_bruno)
    await bruno.send_all(club, ["thank you", "Ana"])
    answers = await ana.receive(2, since=since_ana)

    assert [(one["chat"], one["text"]) for one in heard] == [
        (club, "welcome"),
        (club, "all of you"),
    ]
    assert [(one["chat"], one["text"]) for one in answers] == [(club, "thank you"), (club, "Ana")]
    assert (await ana.groups())[club] == "Club"


async def test_what_was_sent_to_someone_offline_arrives_later_in_order(
    ana: BaileysClient, bruno: BaileysClient
) -> None:
    await acquainted(ana, bruno)
    await bruno.disconnect()
    since = bruno.events.now
    missed = [f"while you were away {number}" for number in range(50)]

    await ana.send_all(await bruno.phone_number(), missed)
    await bruno.connect_and_catch_up()
    # Baileys lets what is sent now overtake what waited, so the last word comes after all of it.
    await bruno.receive(50, since=since)
    await ana.send(await bruno.phone_number(), "that was all")
    await bruno.events.wait("message", since=since, text="that was all")

    assert texts(bruno, since) == [*missed, "that was all"]


async def test_a_message_that_cannot_be_read_is_sent_again_under_its_id(
    ana: BaileysClient, bruno: BaileysClient
) -> None:
    await acquainted(ana, bruno)
    await bruno.drop_ratchets()

    sent = await ana.send(await bruno.phone_number(), "can you read this?")
    unreadable = await bruno.events.wait("unreadable", id=sent)
    await ana.events.wait("receipt", ids=[sent], type="retry")
    read = await bruno.events.wait("message", id=sent)

    assert read["text"] == "can you read this?"
    assert unreadable.number < read.number
    assert [one["enc"] for one in bruno.events.seen("stanza", id=sent)] == [["msg"], ["pkmsg"]]


async def test_a_group_message_that_cannot_be_read_is_sent_again(
    ana: BaileysClient, bruno: BaileysClient, club: str
) -> None:
    first = await ana.send(club, "here is my key")
    await bruno.events.wait("message", id=first)
    await bruno.drop_sender_keys(club)

    sent = await ana.send(club, "do you still have it?")
    await bruno.events.wait("unreadable", id=sent)
    read = await bruno.events.wait("message", id=sent)

    assert read["text"] == "do you still have it?"


async def test_ratchets_survive_the_restart_of_both_processes(
    ana: BaileysClient, bruno: BaileysClient
) -> None:
    await acquainted(ana, bruno)
    for client in (ana, bruno):
        await client.restart()
        await client.connect_and_catch_up()

    sent = await ana.send(await bruno.phone_number(), "still me")
    read = await bruno.events.wait("message", id=sent)

    assert read["text"] == "still me"
    assert (await bruno.events.wait("stanza", id=sent))["enc"] == ["msg"]


async def test_the_setup_of_the_clients_own_tests_works(tmp_path: Path) -> None:
    """TLS with any certificate, a fixed secret, the QR by HTTP, the account by the push name."""
    server = await serve(Simulator(), tls=True)
    start = partial(
        BaileysClient.started,
        server.ws_url,
        push_name="Elisa",
        adv_secret=base64.b64encode(bytes(32)).decode(),
        any_certificate=True,
    )
    try:
        async with start(tmp_path / "desk") as desk, start(tmp_path / "lap") as laptop:
            for device in (desk, laptop):
                await device.connect()
                qr = await device.events.wait("qr")
                await post_qr(server, qr["qr"])
                await device.events.wait("caught-up")
            noted = await desk.send(await desk.phone_number(), "a note to myself")
            note = await laptop.events.wait("message", id=noted)

            assert await desk.phone_number() == await laptop.phone_number()
            assert (note["text"], note["fromMe"]) == ("a note to myself", True)
    finally:
        await server.close()


async def post_qr(server: SimServer, qr: str) -> None:
    async with httpx.AsyncClient(verify=False) as http:  # noqa: S501 # made for the occasion
        answer = await http.post(f"{server.admin_url}/mock-phone/scan-qr", content=qr)
    assert answer.is_success, answer.text


async def acquainted(one: BaileysClient, other: BaileysClient) -> None:
    """Bring two clients to an established ratchet in both directions, whatever was before."""
    for sender, reader in ((one, other), (other, one), (one, other)):
        sent = await sender.send(await reader.phone_number(), "hello")
        await reader.events.wait("message", id=sent)


def texts(client: BaileysClient, since: int) -> list[str]:
    return [one["text"] for one in client.received(since=since)]
