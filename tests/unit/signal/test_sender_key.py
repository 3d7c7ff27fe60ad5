"""What the members of a group can rely on."""

import pytest

from perene.crypto import KeyPair
from perene.crypto.keys import SIGNATURE_SIZE
from perene.signal import (
    ChainExhausted,
    DuplicateMessage,
    InvalidKey,
    InvalidMessage,
    InvalidSignature,
    InvalidVersion,
    MessageKeyLost,
    NoSenderKey,
    SenderKeyRecord,
    TooFarAhead,
    create_sender_key,
    distribution_message,
    group_decrypt,
    group_encrypt,
    process_distribution,
)
from perene.signal.chain import MAX_AHEAD, MAX_COUNTER, Chain
from perene.signal.proto import whisper_pb2
from perene.signal.sender_key import MAX_STATES, SenderKeyState


class Sender:
    def __init__(self) -> None:
        self.record = create_sender_key(SenderKeyRecord.empty)

    def distribution(self) -> bytes:
        return distribution_message(self.record)

    def send(self, text: bytes) -> bytes:
        sent = group_encrypt(self.record, text)
        self.record = sent.record
        return sent.data

    def skip(self, count: int) -> None:
        (state,) = self.record.states
        chain = state.chain
        for _ in range(count):
            chain = chain.seek(chain.counter).settle()
        self.record = SenderKeyRecord(
            states=(
                SenderKeyState(
                    key_id=state.key_id,
                    chain=chain,
                    signing_public=state.signing_public,
                    signing_private=state.signing_private,
                ),
            )
        )


class Member:
    def __init__(self, distribution: bytes | None = None) -> None:
        self.record = SenderKeyRecord.empty
        if distribution is not None:
            self.learn(distribution)

    def learn(self, distribution: bytes) -> None:
        self.record = process_distribution(self.record, distribution)

    def read(self, data: bytes) -> bytes:
        read = group_decrypt(self.record, data)
        self.record = read.record
        return read.plaintext


def test_a_member_reads_in_any_order_and_each_message_once() -> None:
    sender = Sender()
    member = Member(sender.distribution())
    messages = [sender.send(b"%d" % index) for index in range(5)]
    for index in (3, 0, 4, 1, 2):
        assert member.read(messages[index]) == b"%d" % index
    for message in messages:
        with pytest.raises(DuplicateMessage):
            member.read(message)


@pytest.mark.requirement("B1")
def test_a_message_before_the_key_was_given_is_lost_and_no_duplicate() -> None:
    sender = Sender()
    early = sender.send(b"early")
    member = Member(sender.distribution())
    assert member.read(sender.send(b"now")) == b"now"
    with pytest.raises(MessageKeyLost):
        member.read(early)


@pytest.mark.requirement("B1")
def test_without_the_key_nothing_is_read_or_sent() -> None:
    sender, stranger = Sender(), Member()
    data = sender.send(b"x")
    with pytest.raises(NoSenderKey):
        stranger.read(data)
    with pytest.raises(NoSenderKey):
        distribution_message(SenderKeyRecord.empty)
    member = Member(sender.distribution())
    with pytest.raises(NoSenderKey):
        group_encrypt(member.record, b"x")


def test_a_repeated_distribution_reopens_nothing_and_loses_nothing() -> None:
    sender = Sender()
    first = sender.distribution()
    member = Member(first)
    messages = [sender.send(b"%d" % index) for index in range(3)]
    member.read(messages[1])
    member.learn(first)
    member.learn(sender.distribution())
    with pytest.raises(DuplicateMessage):
        member.read(messages[1])
    assert member.read(messages[0]) == b"0"
    assert member.read(messages[2]) == b"2"


def test_a_distribution_far_ahead_lets_a_lost_member_catch_up() -> None:
    sender = Sender()
    member = Member(sender.distribution())
    late, missed = sender.send(b"late"), sender.send(b"missed")
    member.read(sender.send(b"x"))
    sender.skip(MAX_AHEAD + 5)
    far = sender.send(b"far")
    with pytest.raises(TooFarAhead):
        member.read(far)
    member.learn(sender.distribution())
    assert member.read(sender.send(b"again")) == b"again"
    assert member.read(late) == b"late"
    with pytest.raises(MessageKeyLost):
        member.read(far)
    assert member.read(missed) == b"missed"


def test_a_new_key_of_the_sender_leaves_the_old_one_readable() -> None:
    sender = Sender()
    member = Member(sender.distribution())
    old = sender.send(b"old key")
    sender.record = create_sender_key(sender.record)
    member.learn(sender.distribution())
    assert member.read(sender.send(b"new key")) == b"new key"
    assert member.read(old) == b"old key"
    assert len(sender.record.states) == 1


def test_five_keys_are_kept() -> None:
    member = Member()
    senders = [Sender() for _ in range(MAX_STATES + 1)]
    for sender in senders:
        member.learn(sender.distribution())
    assert len(member.record.states) == MAX_STATES
    with pytest.raises(NoSenderKey):
        member.read(senders[0].send(b"x"))
    assert member.read(senders[1].send(b"y")) == b"y"


def test_another_signing_key_under_a_known_id_replaces_it() -> None:
    sender, other = Sender(), Sender()
    member = Member(sender.distribution())
    proto = whisper_pb2.SenderKeyDistributionMessage.FromString(other.distribution()[1:])
    assert sender.record.key_id is not None
    proto.id = sender.record.key_id
    member.learn(b"\x33" + proto.SerializeToString())
    assert len(member.record.states) == 1
    with pytest.raises(InvalidSignature):
        member.read(sender.send(b"x"))


def test_a_changed_message_is_refused_before_its_counter_is_judged() -> None:
    sender = Sender()
    member = Member(sender.distribution())
    message = sender.send(b"x")
    member.read(message)
    before = member.record
    for index in (5, -1, -70):
        data = bytearray(message)
        data[index] ^= 1
        with pytest.raises((InvalidSignature, InvalidMessage, NoSenderKey)):
            member.read(bytes(data))
    assert member.record == before


def test_bytes_that_are_no_group_message_say_so() -> None:
    sender = Sender()
    member = Member(sender.distribution())
    for data in (b"", b"\x33", b"\x33" + bytes(64), b"\x33\xff" + bytes(64)):
        with pytest.raises(InvalidMessage):
            member.read(data)
    with pytest.raises(InvalidVersion):
        member.read(b"\x23" + sender.send(b"x")[1:])
    with pytest.raises(InvalidVersion):
        member.learn(b"\x23" + sender.distribution()[1:])
    proto = whisper_pb2.SenderKeyDistributionMessage.FromString(sender.distribution()[1:])
    proto.signing_key = b"\x05short"
    with pytest.raises(InvalidKey):
        member.learn(b"\x33" + proto.SerializeToString())
    proto = whisper_pb2.SenderKeyDistributionMessage.FromString(sender.distribution()[1:])
    proto.ClearField("id")
    with pytest.raises(InvalidMessage):
        member.learn(b"\x33" + proto.SerializeToString())
    proto.chain_key = b"short"
    with pytest.raises(InvalidMessage):
        member.learn(b"\x33" + proto.SerializeToString())
    with pytest.raises(InvalidMessage):
        member.learn(b"\x33\xff")


def test_a_member_who_signs_what_does_not_decrypt_is_refused() -> None:
    """Whoever is in a group can do that; it must not end anybody's connection."""
    sender = Sender()
    member = Member(sender.distribution())
    (state,) = sender.record.states
    assert state.signing_private is not None
    proto = whisper_pb2.SenderKeyMessage.FromString(sender.send(b"x" * 16)[1:-SIGNATURE_SIZE])
    # Without its last block it ends in "x", which no padding does; any other bytes might, by
    # chance, once in 256 keys.
    proto.ciphertext = proto.ciphertext[:16]
    signed = b"\x33" + proto.SerializeToString()
    with pytest.raises(InvalidMessage):
        member.read(signed + KeyPair(state.signing_private, state.signing_public).sign(signed))
    assert member.read(sender.send(b"after")) == b"after"


def test_a_sender_key_ends_before_its_iteration_would_wrap() -> None:
    sender = Sender()
    (state,) = sender.record.states
    used_up = SenderKeyState(
        key_id=state.key_id,
        chain=Chain(key=state.chain.key, counter=MAX_COUNTER),
        signing_public=state.signing_public,
        signing_private=state.signing_private,
    )
    with pytest.raises(ChainExhausted):
        group_encrypt(SenderKeyRecord(states=(used_up,)), b"x")
