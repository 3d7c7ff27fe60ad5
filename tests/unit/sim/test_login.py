"""Who is let in, who is refused, and with which code."""

from datetime import timedelta

import pytest

from perene.crypto import KeyPair
from perene.sim import Simulator
from perene.wire.jid import Jid
from perene.wire.node import Node
from tests.unit.sim.client import Client, Clock, Identity


async def refusal(simulator: Simulator, me: Identity) -> dict[str, str]:
    client = Client(simulator, me)
    await client.log_in()
    (failure,) = client.take("failure")
    assert client.is_closed
    return dict(failure.attrs)


async def welcome(simulator: Simulator, me: Identity) -> Client:
    client = Client(simulator, me)
    await client.log_in()
    assert client.take("success")
    return client


async def test_a_linked_device_is_let_in(simulator: Simulator) -> None:
    me = await Client.paired(simulator)
    client = Client(simulator, me)
    await client.log_in()
    (success,) = client.take("success")
    assert success.attr("lid") == me.lid


async def test_nothing_is_delivered_before_the_client_is_active(simulator: Simulator) -> None:
    me = await Client.paired(simulator)
    contact = simulator.add_contact()
    client = await welcome(simulator, me)
    simulator.send_text(contact.account.phone, me.phone, "hello")
    await client.read()
    assert not client.take("message")
    await client.go_active()
    assert client.texts() == ["hello"]


async def test_an_unknown_number_device_or_key_is_refused_as_unlinked(simulator: Simulator) -> None:
    me = await Client.paired(simulator)
    stranger = Identity(jid="15559999999:1@s.whatsapp.net")
    assert (await refusal(simulator, stranger))["reason"] == "401"
    other_device = Identity(noise=me.noise, jid=str(Jid.parse(me.jid).with_device(9)))
    assert (await refusal(simulator, other_device))["reason"] == "401"
    other_key = Identity(noise=KeyPair.generate(), jid=me.jid)
    assert (await refusal(simulator, other_key))["reason"] == "401"


async def test_an_unlinked_device_is_told_so_and_refused_afterwards(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    simulator.unlink(client.me.phone)
    await client.read()
    (end,) = client.take("stream:error", code="401")
    assert end.need("conflict").attr("type") == "device_removed"
    assert (await refusal(simulator, client.me))["reason"] == "401"


async def test_a_second_login_of_a_device_replaces_the_first(simulator: Simulator) -> None:
    first = await Client.online(simulator)
    second = await welcome(simulator, first.me)
    await first.read()
    (end,) = first.take("stream:error")
    assert end.need("conflict").attr("type") == "replaced"
    assert first.is_closed
    assert not second.is_closed


async def test_a_ban_ends_the_session_and_passes(simulator: Simulator, clock: Clock) -> None:
    client = await Client.online(simulator)
    simulator.ban(client.me.phone, timedelta(hours=24), code=104)
    assert client.is_closed
    clock.advance(timedelta(hours=23))
    attrs = await refusal(simulator, client.me)
    assert (attrs["reason"], attrs["code"], attrs["expire"]) == ("402", "104", "3600")
    clock.advance(timedelta(hours=1))
    await welcome(simulator, client.me)


async def test_an_old_version_is_refused_until_it_is_raised(simulator: Simulator) -> None:
    me = await Client.paired(simulator)
    simulator.require_version((2, 3000, 1035194822))
    assert (await refusal(simulator, me))["reason"] == "405"
    simulator.require_version((2, 3000, 1035194821))
    await welcome(simulator, me)


@pytest.mark.parametrize("reason", [400, 403, 406, 409, 500, 501, 503])
async def test_any_refusal_can_be_asked_for_and_happens_once(
    simulator: Simulator, reason: int
) -> None:
    me = await Client.paired(simulator)
    simulator.add_fault("refuse_login", phone=me.phone, reason=reason)
    assert (await refusal(simulator, me))["reason"] == str(reason)
    await welcome(simulator, me)


@pytest.mark.parametrize(
    ("how", "tag", "attrs"),
    [
        ("stream_error", "stream:error", {"code": "515"}),
        ("failure", "failure", {"reason": "515"}),
        ("conflict", "stream:error", {}),
        ("xml_not_well_formed", "stream:error", {}),
        ("xmlstreamend", "xmlstreamend", {}),
    ],
)
async def test_a_session_can_be_ended_in_every_way(
    simulator: Simulator, how: str, tag: str, attrs: dict[str, str]
) -> None:
    client = await Client.online(simulator)
    assert simulator.disconnect(client.me.phone, how, code=515) == 1  # pyright: ignore[reportArgumentType]
    await client.read()
    assert client.take(tag, **attrs)
    assert client.is_closed
    await welcome(simulator, client.me)


async def test_a_session_can_go_silent_and_stay(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    assert simulator.disconnect(client.me.phone, "silence") == 1
    await client.send(Node("iq", {"id": "1", "type": "get", "xmlns": "w:p"}))
    assert client.nodes == []
    assert not client.is_closed


async def test_a_login_can_be_ended_as_a_session_can(simulator: Simulator) -> None:
    me = await Client.paired(simulator)
    simulator.add_fault("refuse_login", phone=me.phone, how="stream_error", code=0)
    client = Client(simulator, me)
    await client.log_in()
    (error,) = client.take("stream:error")
    assert error.attrs == {}
    assert client.is_closed
    await welcome(simulator, me)


async def test_a_client_without_an_account_can_be_refused(simulator: Simulator) -> None:
    simulator.add_fault("refuse_pairing", how="failure", code=405)
    client = Client(simulator)
    await client.send_registration()
    assert client.take("failure", reason="405")
    assert client.is_closed


async def test_a_linked_client_can_be_told_something_else_than_to_restart(
    simulator: Simulator,
) -> None:
    simulator.add_fault("end_linking", how="xmlstreamend")
    client = Client(simulator)
    texts = await client.register()
    device = simulator.scan_qr(texts[0])
    await client.answer_pairing()
    assert client.take("stream:error") == []
    assert client.take("xmlstreamend")
    assert device.account.companions == [device]


async def test_a_client_can_unlink_itself(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    removal = Node("remove-companion-device", {"jid": client.me.jid, "reason": "user_initiated"})
    reply = await client.iq("md", "set", removal)
    assert reply.attr("type") == "result"
    assert client.is_closed
    assert (await refusal(simulator, client.me))["reason"] == "401"


async def test_bytes_that_are_no_stream_close_the_connection(simulator: Simulator) -> None:
    transport = simulator.connect()
    await transport.send(b"GET / HTTP/1.1\r\n")
    with pytest.raises(ConnectionError):
        await transport.receive()
    assert simulator.evidence.events["malformed_streams"] == 1


async def test_a_client_that_was_told_its_edge_comes_back_by_it(simulator: Simulator) -> None:
    first = await welcome(simulator, await Client.paired(simulator))
    (told,) = first.ib("edge_routing")
    second = Client(simulator, first.me)
    await second.log_in(routing_info=told.need("routing_info").data)
    assert second.take("success")
    assert simulator.evidence.events["routed"] == 1
