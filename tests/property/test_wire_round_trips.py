"""Whatever can be written on the wire reads back as it was."""

import zlib
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from perene.crypto import KeyPair
from perene.wire.certificates import issue_chain, verify_chain
from perene.wire.codec import decode, encode
from perene.wire.frames import FrameReader, IntroReader, client_intro, frame
from perene.wire.jid import MAX_DEVICE, Jid
from perene.wire.node import Node
from perene.wire.tokens import DOUBLE_BYTE, SINGLE_BYTE

WORDS = [word for book in (SINGLE_BYTE[1:], *DOUBLE_BYTE) for word in book]
USERS = st.one_of(
    st.from_regex(r"[0-9]{1,20}", fullmatch=True),
    st.text(st.characters(codec="utf-8", exclude_characters="@:", categories=["L", "N", "P"])),
)
SERVERS = st.sampled_from(
    ["s.whatsapp.net", "lid", "g.us", "hosted", "hosted.lid", "msgr", "interop", "newsletter"]
)
JIDS = st.builds(Jid, USERS, SERVERS, st.integers(0, MAX_DEVICE) | st.integers(0, 300))
TEXTS = st.one_of(
    st.sampled_from(WORDS),
    st.from_regex(r"[0-9.\-]{0,130}", fullmatch=True),
    st.from_regex(r"[0-9A-F]{0,130}", fullmatch=True),
    st.text(st.characters(codec="utf-8"), max_size=300),
    JIDS.map(str),
    st.from_regex(r"[a-z0-9:@_.\-]{0,20}", fullmatch=True),
)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20) | st.sampled_from(WORDS)
LEAVES = st.builds(
    Node,
    NAMES,
    st.dictionaries(NAMES, TEXTS, max_size=5),
    st.none() | st.binary(max_size=300) | st.just(()),
)
NODES = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        Node,
        NAMES,
        st.dictionaries(NAMES, TEXTS, max_size=3),
        st.lists(inner, max_size=4).map(tuple),
    ),
    max_leaves=12,
)


@given(NODES)
def test_a_node_reads_back_as_it_was(node: Node) -> None:
    assert decode(encode(node)) == node


@given(NODES, st.integers(0, 9))
def test_compression_changes_nothing(node: Node, level: int) -> None:
    assert decode(b"\x02" + zlib.compress(encode(node)[1:], level)) == node


@given(TEXTS)
def test_a_text_as_content_reads_back_as_text_or_as_its_bytes(text: str) -> None:
    assert decode(encode(Node("a", {}, text))).data == text.encode()


@given(USERS, SERVERS, st.integers(0, MAX_DEVICE))
def test_a_jid_reads_back_from_its_text_and_from_the_wire(
    user: str, server: str, device: int
) -> None:
    jid = Jid(user, server, device)
    assert Jid.parse(str(jid)) == jid
    assert decode(encode(Node("a", {"jid": str(jid)}))).attr("jid") == str(jid)


@given(
    st.none() | st.binary(min_size=1, max_size=100),
    st.lists(st.binary(max_size=300), max_size=8),
    st.lists(st.integers(1, 400), max_size=20),
)
def test_a_stream_cut_anywhere_gives_the_same_frames(
    routing_info: bytes | None, payloads: list[bytes], cuts: list[int]
) -> None:
    stream = client_intro(routing_info) + b"".join(map(frame, payloads))
    pieces: list[bytes] = []
    rest = stream
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    pieces.append(rest)
    intro_reader, reader = IntroReader(), FrameReader()
    received: list[bytes] = []
    greeted = False
    for piece in pieces:
        data = piece
        if not greeted:
            intro = intro_reader.receive_data(piece)
            if intro is None:
                continue
            assert intro.routing_info == routing_info
            greeted, data = True, intro.rest
        received += reader.receive_data(data)
    assert received == payloads


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.timedeltas(timedelta(0)))
def test_an_issued_chain_is_valid_in_its_window(
    serial: int, leaf_serial: int, age: timedelta
) -> None:
    now = datetime(2026, 8, 21, tzinfo=UTC)
    root, server = KeyPair.generate(), KeyPair.generate()
    begin = max(now - age, datetime(1970, 1, 1, tzinfo=UTC)) if age.days < 20000 else now
    chain = issue_chain(
        root=root,
        leaf_key=server.public,
        not_before=begin,
        not_after=now,
        intermediate_serial=serial,
        leaf_serial=leaf_serial,
    )
    verify_chain(chain, root_key=root.public, server_static=server.public, now=now)
