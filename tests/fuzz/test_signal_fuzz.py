"""No bytes from a peer, and none from the database, raise anything but a SignalError."""

import functools
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from perene.signal import (
    Address,
    Encrypted,
    Ratchet,
    SenderKeyRecord,
    SignalError,
    create_sender_key,
    decrypt_message,
    distribution_message,
    encrypt,
    group_decrypt,
    group_encrypt,
    parse_pre_key_message,
    process_distribution,
    unpad,
)
from tests.unit.signal.parties import Party, acquainted

# A record of this size, mostly of length prefixes that promise more, must not cost much memory.
_ALLOWED_BYTES = 2_000_000


@functools.cache
def genuine() -> dict[str, bytes]:
    """One of each: the seeds that mutations start from."""
    alice, bob = acquainted()
    for _ in range(3):
        alice.send(b"lost")
    bob.read(alice.send(b"x"))
    bob.start(alice.bundle())
    sender = create_sender_key(SenderKeyRecord.empty)
    distribution = distribution_message(sender)
    sent = group_encrypt(sender, b"group")
    return {
        "msg": alice.send(b"y").data,
        "pkmsg": bob.send(b"z").data,
        "skmsg": sent.data,
        "distribution": distribution,
        "ratchet": bob.ratchet.serialize(),
        "sender_key": sent.record.serialize(),
    }


@functools.cache
def reader() -> tuple[Party, SenderKeyRecord]:
    _, bob = acquainted()
    bob.bundle()
    record = process_distribution(SenderKeyRecord.empty, genuine()["distribution"])
    return bob, record


def read_msg(data: bytes) -> None:
    party, _ = reader()
    decrypt_message(party.ratchet, data, party.local)


def read_pkmsg(data: bytes) -> None:
    party, _ = reader()
    party.try_read(Encrypted(ratchet=Ratchet.empty, kind="pkmsg", data=data))


def read_skmsg(data: bytes) -> None:
    group_decrypt(reader()[1], data)


def read_distribution(data: bytes) -> None:
    process_distribution(reader()[1], data)


def load_ratchet(data: bytes) -> None:
    """Whatever loads can be used and stored again."""
    ratchet = Ratchet.parse(data)
    party, _ = reader()
    ratchet.serialize()
    for use in (
        lambda: encrypt(ratchet, b"x", party.local),
        lambda: decrypt_message(ratchet, genuine()["msg"], party.local),
    ):
        try:
            use().ratchet.serialize()
        except SignalError:
            pass  # refused as it should be


def load_sender_key(data: bytes) -> None:
    record = SenderKeyRecord.parse(data)
    record.serialize()
    group_encrypt(record, b"x").record.serialize()


READERS: dict[str, Callable[[bytes], None]] = {
    "msg": read_msg,
    "pkmsg": read_pkmsg,
    "skmsg": read_skmsg,
    "distribution": read_distribution,
    "ratchet": load_ratchet,
    "sender_key": load_sender_key,
}


def attempt(kind: str, data: bytes) -> None:
    try:
        READERS[kind](data)
    except SignalError:
        pass  # the one family that callers handle


@st.composite
def mutated(draw: st.DrawFn, kind: str) -> bytes:
    """Genuine bytes with a few of them changed, cut out, repeated or put in."""
    data = bytearray(genuine()[kind])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.sampled_from(["set", "cut", "insert", "repeat"])):
            case "set" if data:
                data[at] = draw(st.integers(0, 255))
            case "cut":
                del data[at : at + draw(st.integers(1, 40))]
            case "insert":
                data[at:at] = draw(st.binary(max_size=12))
            case _:
                data[at:at] = data[at : at + draw(st.integers(1, 40))]
    return bytes(data)


@pytest.mark.parametrize("kind", sorted(READERS))
@settings(max_examples=150)
@given(data=st.data())
def test_random_bytes_are_refused_in_one_family(kind: str, data: st.DataObject) -> None:
    attempt(kind, data.draw(st.binary(max_size=300)))
    attempt(kind, b"\x33" + data.draw(st.binary(max_size=300)))


@pytest.mark.parametrize("kind", sorted(READERS))
@settings(max_examples=200)
@given(data=st.data())
def test_changed_bytes_are_refused_in_one_family(kind: str, data: st.DataObject) -> None:
    attempt(kind, data.draw(mutated(kind)))


@pytest.mark.parametrize("kind", sorted(READERS))
def test_every_prefix_is_refused_in_one_family(kind: str) -> None:
    whole = genuine()[kind]
    for end in range(len(whole)):
        attempt(kind, whole[:end])


@pytest.mark.parametrize("kind", sorted(READERS))
def test_a_promise_of_more_bytes_than_there_are_costs_no_memory(kind: str) -> None:
    tag = {"ratchet": b"\x12", "sender_key": b"\x12"}.get(kind, b"\x33\x22")
    data = tag + b"\xff\xff\xff\xff\x07" + bytes(100)
    attempt(kind, data)
    tracemalloc.start()
    attempt(kind, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < _ALLOWED_BYTES


@settings(max_examples=300)
@given(text=st.text(max_size=30))
@example("1.9999999999999999999999")
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        assert str(Address.parse(text)) == text
    except SignalError:
        pass  # no address


@given(data=st.binary(max_size=300), version=st.integers(0, 4))
def test_any_bytes_are_padded_or_refused(data: bytes, version: int) -> None:
    try:
        assert data.startswith(unpad(data, version))
    except SignalError:
        pass  # no padding


def test_what_the_mutations_start_from_is_genuine() -> None:
    alice, bob = acquainted()
    assert bob.read(alice.send(b"x")) == b"x"
    assert parse_pre_key_message(genuine()["pkmsg"]).message
    load_ratchet(genuine()["ratchet"])
    load_sender_key(genuine()["sender_key"])
    read_skmsg(genuine()["skmsg"])
