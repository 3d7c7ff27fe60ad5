"""The byte stream: whole frames out of pieces of any size, and the intro before them."""

import pytest

from perene.wire.errors import BadIntro, FrameTooLarge, IntroTooLarge
from perene.wire.frames import (
    MAX_FRAME,
    MAX_ROUTING_INFO,
    PROLOGUE,
    FrameReader,
    IntroReader,
    client_intro,
    frame,
)


def test_frames_come_out_whole_whatever_the_pieces() -> None:
    payloads = [b"", b"a", b"b" * 70_000]
    stream = b"".join(map(frame, payloads))
    assert FrameReader().receive_data(stream) == payloads
    reader = FrameReader()
    step = 997
    pieces = (stream[start : start + step] for start in range(0, len(stream), step))
    assert [payload for piece in pieces for payload in reader.receive_data(piece)] == payloads


def test_a_frame_too_large_is_refused_before_it_is_collected() -> None:
    reader = FrameReader(maximum=10)
    assert reader.receive_data(frame(b"x" * 10)) == [b"x" * 10]
    with pytest.raises(FrameTooLarge):
        reader.receive_data(b"\0\0\x0b")


def test_a_payload_longer_than_its_length_can_say_is_refused() -> None:
    assert frame(bytes(MAX_FRAME))[:3] == b"\xff\xff\xff"
    with pytest.raises(FrameTooLarge):
        frame(bytes(MAX_FRAME + 1))


def test_the_intro_is_four_bytes_and_routing_goes_before_it() -> None:
    assert client_intro() == PROLOGUE == b"WA\x06\x03"
    assert client_intro(b"xyz") == b"ED\0\x01\0\0\x03xyzWA\x06\x03"


@pytest.mark.parametrize("routing_info", [None, b"xyz", b"W" * MAX_ROUTING_INFO])
def test_the_server_takes_the_intro_byte_by_byte(routing_info: bytes | None) -> None:
    reader = IntroReader()
    stream = client_intro(routing_info)
    for byte in stream[:-1]:
        assert reader.receive_data(bytes((byte,))) is None
    intro = reader.receive_data(stream[-1:] + b"rest")
    assert intro is not None
    assert (intro.routing_info, intro.rest) == (routing_info, b"rest")


@pytest.mark.parametrize(
    "start",
    [b"X", b"WB", b"WA\x05", b"WA\x06\x02", b"EX", b"ED\0\x01\0\0\x01xE", b"GET / HTTP/1.1"],
)
def test_any_other_beginning_is_refused_at_once(start: bytes) -> None:
    with pytest.raises(BadIntro):
        IntroReader().receive_data(start)


def test_routing_information_is_limited_on_both_sides() -> None:
    with pytest.raises(IntroTooLarge):
        IntroReader().receive_data(b"ED\0\x01\xff\xff\xff")
    with pytest.raises(IntroTooLarge):
        client_intro(bytes(MAX_ROUTING_INFO + 1))
