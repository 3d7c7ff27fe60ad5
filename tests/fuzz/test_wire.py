"""Bytes from the other side never raise anything but the codec's own error, hang, or eat memory.

Valid messages are damaged in the ways that find bugs: bytes changed, cut out, repeated, and lengths
made huge. Each round prints nothing; a failure shows the input, to be added to CRASHES below.
"""

import random
import time
import tracemalloc
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from perene.crypto import KeyPair
from perene.wire.certificates import issue_chain, verify_chain
from perene.wire.codec import decode, encode
from perene.wire.errors import CertificateError, FrameError, HandshakeError, JidError, NodeError
from perene.wire.frames import FrameReader, IntroReader, client_intro, frame
from perene.wire.jid import Jid
from perene.wire.node import Node
from perene.wire.noise import ClientHandshake, ServerHandshake
from perene.wire.proto.wa_pb2 import Message
from perene.wire.text import mend

ROUNDS = 4000
LONGEST_S = 1.0  # a damaged kilobyte takes microseconds; this allows for a stalled machine
BASE = 64_000  # what an inflater takes before it has seen a byte

NOW = datetime(2026, 8, 21, tzinfo=UTC)
ROOT = KeyPair.generate()
SERVER = KeyPair.generate()
EPHEMERAL = KeyPair.generate()
CHAIN = issue_chain(
    root=ROOT,
    leaf_key=SERVER.public,
    not_before=NOW - timedelta(days=1),
    not_after=NOW + timedelta(days=1),
)

NODES = [
    Node("iq", {"id": "1", "to": "@s.whatsapp.net", "type": "get"}, (Node("ping"),)),
    Node(
        "message",
        {
            "from": "123456789012345:3@lid",
            "sender_pn": "5511999998888@s.whatsapp.net",
            "id": "3EB0A1B2C3D4E5F60718",
            "t": "1790000000",
            "notify": "João da Silva",
            "other": "1:2@msgr",
            "another": "5-1:2@interop",
        },
        (Node("enc", {"v": "2", "type": "pkmsg"}, bytes(range(256))), Node("a", {}, "12345")),
    ),
    Node("list", {}, tuple(Node("item", {"n": str(index)}) for index in range(300))),
]


def client() -> ClientHandshake:
    return ClientHandshake(static=SERVER, root_key=ROOT.public, now=NOW, ephemeral=EPHEMERAL)


def server() -> ServerHandshake:
    return ServerHandshake(static=SERVER, certificate_chain=CHAIN, ephemeral=EPHEMERAL)


def read_server_hello(data: bytes) -> object:
    return client().finish(data, b"")


def read_client_hello(data: bytes) -> object:
    return server().receive_hello(data)


def read_client_finish(data: bytes) -> object:
    ours = server()
    ours.receive_hello(client().hello())
    return ours.receive_finish(data)


def read_chain(data: bytes) -> object:
    return verify_chain(data, root_key=ROOT.public, server_static=SERVER.public, now=NOW)


def read_intro(data: bytes) -> object:
    reader = IntroReader()
    half = len(data) // 2
    return reader.receive_data(data[:half]) or reader.receive_data(data[half:])


def read_frames(data: bytes) -> object:
    return FrameReader(maximum=1 << 16).receive_data(data)


def read_jid(data: bytes) -> object:
    return Jid.parse(data.decode("latin-1"))


def read_inflated(data: bytes) -> object:
    return decode(b"\x02" + zlib.compress(data, 1))


Reader = Callable[[bytes], object]
HELLO = client().hello()
TARGETS: dict[str, tuple[Reader, type[Exception], list[bytes]]] = {
    "node": (decode, NodeError, [encode(node) for node in NODES]),
    "deflated node": (
        decode,
        NodeError,
        [b"\x02" + zlib.compress(encode(node)[1:]) for node in NODES],
    ),
    "inflated node": (read_inflated, NodeError, [encode(node)[1:] for node in NODES]),
    "frames": (read_frames, FrameError, [frame(b"abc") + frame(bytes(200)) + frame(b"")]),
    "intro": (read_intro, FrameError, [client_intro() + b"rest", client_intro(b"xyz") + b"r"]),
    "client hello": (read_client_hello, HandshakeError, [HELLO]),
    "server hello": (read_server_hello, HandshakeError, [server().receive_hello(HELLO)]),
    "client finish": (
        read_client_finish,
        HandshakeError,
        [client().finish(server().receive_hello(HELLO), b"payload")],
    ),
    "certificate": (read_chain, CertificateError, [CHAIN]),
    "jid": (read_jid, JidError, [b"5511999998888:3@s.whatsapp.net", b"@lid", b"status@broadcast"]),
}

# Inputs that once did harm, or look as if they might.
CRASHES: list[tuple[str, bytes]] = [
    ("node", b"\0" + b"\xfa" * 5000),
    ("node", b"\0" + b"\xf8\x02\x01" * 5000),
    ("node", b"\0\xf8\x02\x01\xf9\xff\xff" + b"\xf8\x01\x01" * 3),
    ("node", b"\0\xf9\xff\xff\x01\x01\x01"),
    ("frames", b"\xff\xff\xff"),
    ("jid", b"1" * 100_000 + b"@lid"),
    ("jid", b":" * 1000),
]


def damaged(seeds: list[bytes], dice: random.Random) -> bytes:
    data = bytearray(dice.choice(seeds))
    for _ in range(dice.choice((1, 1, 2, 4, 16))):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(7):
            case 0:
                data[at : at + 1] = bytes((dice.randrange(256),))
            case 1 if at < len(data):
                data[at] ^= 1 << dice.randrange(8)
            case 2:
                del data[at : at + dice.choice((1, 2, 8, 64))]
            case 3:
                data[at:at] = data[at : at + dice.choice((1, 3, 40))] * dice.choice((1, 2, 30))
            case 4:
                data[at : at + 1] = bytes((dice.choice((0, 236, *range(245, 256))),))
            case 5:
                data[at:at] = dice.randbytes(dice.choice((1, 4, 100)))
            case _:
                del data[at:]
    return bytes(data)


def read(name: str, data: bytes) -> None:
    reader, error, _ = TARGETS[name]
    begun = time.perf_counter()
    try:
        reader(data)
    except error:
        pass
    except Exception as other:  # noqa: BLE001 - the very thing that is looked for
        pytest.fail(f"{name} raised {other!r} for {data.hex()}")
    took = time.perf_counter() - begun
    assert took < LONGEST_S, f"{name} took {took:.1f} s for {data.hex()}"


@pytest.mark.parametrize("name", TARGETS)
def test_the_messages_that_are_damaged_were_whole(name: str) -> None:
    reader, _, seeds = TARGETS[name]
    for seed in seeds:
        reader(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_damage_raises_nothing_but_the_codecs_own_error(name: str) -> None:
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    # An agreement or a signature takes a tenth of a millisecond: fewer of those.
    slow = name in ("client hello", "server hello", "client finish", "certificate")
    for _ in range(ROUNDS // 4 if slow else ROUNDS):
        read(name, damaged(TARGETS[name][2], dice))
        read(name, dice.randbytes(dice.choice((0, 1, 5, 50))))


@pytest.mark.parametrize(("name", "data"), CRASHES)
def test_past_crashes_stay_harmless(name: str, data: bytes) -> None:
    read(name, data)


def peak_of(data: bytes) -> int:
    tracemalloc.start()
    try:
        decode(data)
    except NodeError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak


def test_memory_stays_in_proportion_to_the_bytes() -> None:
    """No damage makes the decoder take more than 120 bytes for a byte, and some to begin with."""
    dice = random.Random(random.randrange(2**32))
    seeds = TARGETS["node"][2]
    for data in (damaged(seeds, dice) for _ in range(1000)):
        assert peak_of(data) < 120 * len(data) + BASE, data.hex()


@pytest.mark.parametrize(
    "body",
    [
        b"\xf8\x02\x01\xf9\xff\xff" + b"\xf8\x01\x01" * 65535,  # the smallest nodes
        b"\xf9\xff\xff\x01" + b"\x01\xec\x05" * 32767,  # attributes of one name
        b"\xf9\xff\xff\x01"
        + b"".join(b"\xfc\x02%c%c\x01" % (65 + i // 200, i % 200) for i in range(32767 // 2)),
    ],
    ids=["nodes", "one attribute", "attributes"],
)
def test_memory_of_the_densest_nodes_stays_in_proportion(body: bytes) -> None:
    assert peak_of(b"\0" + body) < 120 * len(body) + BASE


def test_a_bomb_costs_no_more_than_the_limit() -> None:
    bomb = b"\x02" + zlib.compress(bytes(1 << 26), 9)
    assert peak_of(bomb) < 3 << 24


def test_damaged_messages_can_always_be_mended() -> None:
    message = Message()
    message.extendedTextMessage.text = "olá"
    message.extendedTextMessage.contextInfo.mentionedJid.append("1@lid")
    message.extendedTextMessage.contextInfo.quotedMessage.conversation = "é"
    seeds = [message.SerializeToString()]
    dice = random.Random(random.randrange(2**32))
    for _ in range(ROUNDS):
        data = damaged(seeds, dice)
        try:
            parsed = Message.FromString(data)
        except Exception as error:  # noqa: BLE001 - which kind is what is checked
            assert type(error).__name__ == "DecodeError", data.hex()  # noqa: PT017 - as above
            continue
        mend(parsed)
        assert mend(parsed) == 0
