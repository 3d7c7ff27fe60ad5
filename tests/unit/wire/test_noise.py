"""The handshake, client and server in memory, and each way in which it can fail."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from perene.crypto import KeyPair
from perene.wire.certificates import issue_chain
from perene.wire.errors import (
    BadClientEphemeral,
    BadClientFinish,
    BadClientHello,
    BadClientStatic,
    BadServerEphemeral,
    BadServerHello,
    BadServerStatic,
    CertificateExpired,
    ClientPayloadUndecryptable,
    ClientStaticUndecryptable,
    CounterExhausted,
    FrameUndecryptable,
    HandshakeError,
    MissingServerPayload,
    MissingServerStatic,
    OutOfTurn,
    ServerPayloadUndecryptable,
    ServerStaticUndecryptable,
    WrongLeafKey,
)
from perene.wire.noise import MAX_COUNTER, ClientHandshake, NoiseTransport, ServerHandshake
from perene.wire.proto.wa_pb2 import HandshakeMessage

NOW = datetime(2026, 8, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ROOT = KeyPair.generate()
SERVER = KeyPair.generate()
DEVICE = KeyPair.generate()
LOW_ORDER = bytes(32)

Change = Callable[[HandshakeMessage], object]


def chain_for(public: bytes) -> bytes:
    return issue_chain(root=ROOT, leaf_key=public, not_before=NOW - DAY, not_after=NOW + DAY)


CHAIN = chain_for(SERVER.public)


def client(now: datetime = NOW) -> ClientHandshake:
    return ClientHandshake(static=DEVICE, root_key=ROOT.public, now=now)


def server(static: KeyPair = SERVER, chain: bytes = CHAIN) -> ServerHandshake:
    return ServerHandshake(static=static, certificate_chain=chain)


def spoilt(message: bytes, change: Change) -> bytes:
    parsed = HandshakeMessage.FromString(message)
    change(parsed)
    return parsed.SerializeToString()


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes((data[-1] ^ 1,))


def joined() -> tuple[NoiseTransport, NoiseTransport]:
    ours, theirs = client(), server()
    theirs.receive_finish(ours.finish(theirs.receive_hello(ours.hello()), b""))
    return ours.transport, theirs.transport


def test_both_sides_end_with_one_pair_of_keys() -> None:
    ours, theirs = client(), server()
    finish = ours.finish(theirs.receive_hello(ours.hello()), b"who I am")
    said = theirs.receive_finish(finish)
    assert (said.client_static, said.payload) == (DEVICE.public, b"who I am")
    for number in range(3):
        text = b"%d" % number
        assert theirs.transport.decrypt(ours.transport.encrypt(text)) == text
        assert ours.transport.decrypt(theirs.transport.encrypt(text)) == text


def test_the_payload_is_not_on_the_wire_in_clear() -> None:
    ours, theirs = client(), server()
    finish = ours.finish(theirs.receive_hello(ours.hello()), b"who I am")
    assert b"who I am" not in finish
    assert DEVICE.public not in finish


def clear(name: str) -> Change:
    def change(message: Any) -> None:
        message.serverHello.ClearField(name)

    return change


def put(name: str, value: bytes | Callable[[bytes], bytes]) -> Change:
    def change(message: HandshakeMessage) -> None:
        (part, _), *_rest = message.ListFields()
        inner = getattr(message, part.name)
        setattr(inner, name, value(getattr(inner, name)) if callable(value) else value)

    return change


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda message: message.ClearField("serverHello"), BadServerHello),
        (clear("ephemeral"), BadServerEphemeral),
        (put("ephemeral", b"x" * 31), BadServerEphemeral),
        (put("ephemeral", LOW_ORDER), BadServerEphemeral),
        (clear("static"), MissingServerStatic),
        (put("static", flipped), ServerStaticUndecryptable),
        (put("static", b""), ServerStaticUndecryptable),
        (put("ephemeral", KeyPair.generate().public), ServerStaticUndecryptable),
        (clear("payload"), MissingServerPayload),
        (put("payload", flipped), ServerPayloadUndecryptable),
        (put("payload", b"short"), ServerPayloadUndecryptable),
    ],
)
def test_a_spoilt_server_hello_is_refused(change: Change, error: type[HandshakeError]) -> None:
    ours = client()
    answer = server().receive_hello(ours.hello())
    with pytest.raises(error):
        ours.finish(spoilt(answer, change), b"")
    with pytest.raises(OutOfTurn):
        _ = ours.transport


def test_bytes_that_are_no_server_hello_are_refused() -> None:
    for answer in (b"", b"\xff", client().hello()):
        with pytest.raises(BadServerHello):
            client().finish(answer, b"")


def test_a_server_whose_static_key_is_no_key_is_refused() -> None:
    weak = KeyPair(SERVER.private, LOW_ORDER)
    ours = client()
    with pytest.raises(BadServerStatic):
        ours.finish(server(static=weak).receive_hello(ours.hello()), b"")


def test_a_server_without_a_certificate_for_its_key_is_refused() -> None:
    ours = client()
    impostor = server(static=KeyPair.generate())
    with pytest.raises(WrongLeafKey):
        ours.finish(impostor.receive_hello(ours.hello()), b"")


def test_the_certificate_is_judged_at_the_time_that_was_given() -> None:
    ours = client(now=NOW + 2 * DAY)
    with pytest.raises(CertificateExpired):
        ours.finish(server().receive_hello(ours.hello()), b"")


@pytest.mark.parametrize(
    ("hello", "error"),
    [
        (b"", BadClientHello),
        (b"\xff", BadClientHello),
        (
            HandshakeMessage(clientHello=HandshakeMessage.ClientHello()).SerializeToString(),
            BadClientEphemeral,
        ),
        (spoilt(client().hello(), put("ephemeral", b"x" * 33)), BadClientEphemeral),
        (spoilt(client().hello(), put("ephemeral", LOW_ORDER)), BadClientEphemeral),
    ],
)
def test_a_spoilt_client_hello_is_refused(hello: bytes, error: type[HandshakeError]) -> None:
    with pytest.raises(error):
        server().receive_hello(hello)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda message: message.ClearField("clientFinish"), BadClientFinish),
        (put("static", flipped), ClientStaticUndecryptable),
        (put("static", b""), ClientStaticUndecryptable),
        (put("payload", flipped), ClientPayloadUndecryptable),
        (put("payload", b""), ClientPayloadUndecryptable),
    ],
)
def test_a_spoilt_client_finish_is_refused(change: Change, error: type[HandshakeError]) -> None:
    ours, theirs = client(), server()
    finish = ours.finish(theirs.receive_hello(ours.hello()), b"payload")
    with pytest.raises(error):
        theirs.receive_finish(spoilt(finish, change))
    with pytest.raises(OutOfTurn):
        _ = theirs.transport


def test_a_client_whose_static_key_is_no_key_is_refused() -> None:
    weak = KeyPair(DEVICE.private, LOW_ORDER)
    ours = ClientHandshake(static=weak, root_key=ROOT.public, now=NOW)
    theirs = server()
    finish = ours.finish(theirs.receive_hello(ours.hello()), b"")
    with pytest.raises(BadClientStatic):
        theirs.receive_finish(finish)


def test_a_finish_before_the_hello_is_out_of_turn() -> None:
    with pytest.raises(OutOfTurn):
        server().receive_finish(b"")


def test_a_frame_that_is_changed_repeated_or_out_of_order_does_not_decrypt() -> None:
    ours, theirs = joined()
    first, second = ours.encrypt(b"1"), ours.encrypt(b"2")
    for wrong in (second, flipped(first), b"", first[:5]):
        with pytest.raises(FrameUndecryptable):
            theirs.decrypt(wrong)
    assert theirs.decrypt(first) == b"1"
    with pytest.raises(FrameUndecryptable):
        theirs.decrypt(first)
    assert theirs.decrypt(second) == b"2"


def test_no_nonce_is_used_twice() -> None:
    one, other = bytes(32), bytes([1]) * 32
    ours = NoiseTransport(write_key=one, read_key=other, counter=MAX_COUNTER - 1)
    theirs = NoiseTransport(write_key=other, read_key=one, counter=MAX_COUNTER - 1)
    for _ in range(2):
        theirs.decrypt(ours.encrypt(b""))
    with pytest.raises(CounterExhausted):
        ours.encrypt(b"")
    with pytest.raises(CounterExhausted):
        theirs.decrypt(bytes(16))
