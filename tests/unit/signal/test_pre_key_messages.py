"""How a ratchet begins, and what can go wrong before it has."""

from dataclasses import replace

import pytest

from perene.crypto import KeyPair
from perene.signal import (
    BadMac,
    DuplicateMessage,
    Encrypted,
    InvalidKey,
    InvalidMessage,
    InvalidSignature,
    InvalidVersion,
    LocalIdentity,
    PreKey,
    Ratchet,
    SignedPreKey,
    UnknownPreKey,
    UnknownSignedPreKey,
    UntrustedIdentity,
    encrypt,
    generate_pre_keys,
    parse_pre_key_message,
    start_outgoing,
)
from perene.signal.messages import build_pre_key_message
from perene.signal.proto import whisper_pb2
from tests.unit.signal.parties import Party, acquainted


def first_message(*, one_time: bool = True) -> tuple[Party, Party, Encrypted]:
    alice, bob = Party(), Party()
    alice.start(bob.bundle(one_time=one_time))
    return alice, bob, alice.send(b"first")


def test_the_first_message_begins_the_ratchet_and_consumes_the_one_time_key() -> None:
    alice, bob, message = first_message()
    read = bob.try_read(message)
    assert read.plaintext == b"first"
    assert read.identity == alice.local.key_pair.public
    assert read.consumed_pre_key_id == next(iter(bob.one_time))
    assert not read.replaced
    assert read.ratchet.base_key == alice.ratchet.base_key


def test_a_ratchet_begins_without_a_one_time_key_too() -> None:
    _, bob, message = first_message(one_time=False)
    read = bob.try_read(message)
    assert read.plaintext == b"first"
    assert read.consumed_pre_key_id is None


def test_further_first_messages_need_no_pre_key_and_consume_none() -> None:
    alice, bob, message = first_message()
    second = alice.send(b"second")
    bob.read(second)
    bob.signed.clear()
    assert not bob.one_time
    read = bob.try_read(message)
    assert read.plaintext == b"first"
    assert read.consumed_pre_key_id is None
    assert not read.replaced


@pytest.mark.requirement("B1")
def test_a_repeated_first_message_is_a_duplicate() -> None:
    _, bob, message = first_message()
    bob.read(message)
    with pytest.raises(DuplicateMessage):
        bob.read(message)


def test_a_first_message_of_an_archived_state_is_read_by_that_state() -> None:
    alice, bob, message = first_message()
    second = alice.send(b"second")
    bob.read(message)
    bob.start(alice.bundle())
    read = bob.try_read(second)
    assert read.plaintext == b"second"
    assert read.consumed_pre_key_id is None


def test_a_new_beginning_of_the_peer_replaces_the_current_state() -> None:
    alice, bob = acquainted()
    before = bob.ratchet.current
    alice.start(bob.bundle())
    read = bob.try_read(alice.send(b"anew"))
    assert read.replaced
    assert read.ratchet.archived[0] == before
    assert read.ratchet.base_key == alice.ratchet.base_key


@pytest.mark.requirement("B1")
def test_a_consumed_or_unknown_one_time_key_is_named() -> None:
    _, bob, message = first_message()
    (key_id,) = bob.one_time
    bob.one_time.clear()
    with pytest.raises(UnknownPreKey) as caught:
        bob.read(message)
    assert caught.value.key_id == key_id
    bob.one_time[key_id] = PreKey.generate(key_id + 1)
    with pytest.raises(UnknownPreKey):
        bob.read(message)


@pytest.mark.requirement("B1")
def test_an_unknown_signed_key_is_named() -> None:
    _, bob, message = first_message()
    (key_id,) = bob.signed
    bob.signed.clear()
    with pytest.raises(UnknownSignedPreKey) as caught:
        bob.read(message)
    assert caught.value.key_id == key_id


@pytest.mark.requirement("B1")
def test_the_wrong_key_under_the_right_id_is_a_bad_mac_and_changes_nothing() -> None:
    _, bob, message = first_message()
    (key_id,) = bob.one_time
    kept = bob.one_time[key_id]
    bob.one_time[key_id] = PreKey.generate(key_id)
    with pytest.raises(BadMac):
        bob.read(message)
    assert bob.ratchet is Ratchet.empty
    bob.one_time[key_id] = kept
    assert bob.read(message) == b"first"


@pytest.mark.requirement("B1")
def test_another_identity_than_the_trusted_one_is_reported_before_anything_else() -> None:
    alice, bob, message = first_message()
    with pytest.raises(UntrustedIdentity) as caught:
        bob.try_read(message, trusted=KeyPair.generate().public)
    assert caught.value.identity == alice.local.key_pair.public
    assert bob.try_read(message, trusted=alice.local.key_pair.public).plaintext == b"first"


def test_an_identity_put_in_by_somebody_else_is_not_accepted() -> None:
    _, bob, message = first_message()
    parsed = parse_pre_key_message(message.data)
    forged = replace(parsed, identity=KeyPair.generate().public)
    with pytest.raises(BadMac):
        bob.read(replace(message, data=build_pre_key_message(forged)))
    bob.read(message)
    with pytest.raises(UnknownPreKey):
        bob.read(replace(message, data=build_pre_key_message(forged)))


def test_our_own_first_message_sent_back_to_us_is_not_taken_for_the_peers() -> None:
    alice, bob, message = first_message()
    with pytest.raises(UnknownSignedPreKey):
        alice.read(message)
    alice.signed, alice.one_time = bob.signed, bob.one_time
    with pytest.raises(BadMac):
        alice.read(message)


def test_an_explicit_pre_key_id_of_zero_means_none() -> None:
    _, bob, message = first_message(one_time=False)
    proto = whisper_pb2.PreKeySignalMessage.FromString(message.data[1:])
    proto.pre_key_id = 0
    data = message.data[:1] + proto.SerializeToString()
    assert parse_pre_key_message(data).pre_key_id is None
    assert bob.read(replace(message, data=data)) == b"first"


def test_a_bundle_whose_signature_is_not_by_its_identity_is_refused() -> None:
    bob = Party()
    bundle = bob.bundle()
    other = SignedPreKey.generate(1, KeyPair.generate())
    for wrong in (other.signature, bytes(64), b""):
        with pytest.raises(InvalidSignature):
            start_outgoing(
                Ratchet.empty,
                replace(bundle, signed_pre_key_signature=wrong),
                LocalIdentity.generate(),
            )


def test_a_bundle_with_a_malformed_key_is_refused() -> None:
    bundle = Party().bundle()
    local = LocalIdentity.generate()
    for wrong in (
        replace(bundle, identity=b"short"),
        replace(bundle, signed_pre_key=b"short"),
        replace(bundle, pre_key=b"short"),
        replace(bundle, pre_key=bytes(32)),
        replace(bundle, pre_key=None),
        replace(bundle, pre_key_id=None),
    ):
        with pytest.raises(InvalidKey):
            start_outgoing(Ratchet.empty, wrong, local)


def test_a_given_base_key_names_the_state() -> None:
    base = KeyPair.generate()
    local = LocalIdentity.generate()
    ratchet = start_outgoing(Ratchet.empty, Party().bundle(), local, base_key=base)
    assert ratchet.base_key == base.public
    assert parse_pre_key_message(encrypt(ratchet, b"x", local).data).base_key == base.public


def test_bytes_that_are_no_pre_key_message_say_so() -> None:
    _, _, message = first_message()
    proto = whisper_pb2.PreKeySignalMessage.FromString(message.data[1:])
    with pytest.raises(InvalidVersion):
        parse_pre_key_message(b"\x43" + message.data[1:])
    for data in (b"", b"\x33", b"\x33\xff"):
        with pytest.raises(InvalidMessage):
            parse_pre_key_message(data)
    proto.identity_key = b"\x05short"
    with pytest.raises(InvalidKey):
        parse_pre_key_message(b"\x33" + proto.SerializeToString())
    proto.ClearField("message")
    with pytest.raises(InvalidMessage):
        parse_pre_key_message(b"\x33" + proto.SerializeToString())


def test_generated_keys_are_what_they_should_be() -> None:
    assert [key.id for key in generate_pre_keys(7, 3)] == [7, 8, 9]
    assert 1 <= LocalIdentity.generate().registration_id <= 0x3FFF
