"""What two parties can rely on once they have met."""

from dataclasses import replace

import pytest

from perene.signal import (
    BadMac,
    ChainExhausted,
    DuplicateMessage,
    Encrypted,
    InvalidKey,
    InvalidMessage,
    InvalidVersion,
    MessageKeyLost,
    NoRatchet,
    Ratchet,
    TooFarAhead,
)
from perene.signal.chain import MAX_AHEAD, MAX_COUNTER, MAX_SKIPPED
from perene.signal.proto import whisper_pb2
from perene.signal.ratchet import MAX_ARCHIVED
from perene.signal.state import MAX_RECEIVING
from tests.unit.signal.parties import Party, acquainted


def forged(message: Encrypted, index: int) -> Encrypted:
    data = bytearray(message.data)
    data[index] ^= 1
    return replace(message, data=bytes(data))


def test_messages_arrive_in_both_directions_over_many_ratchet_steps() -> None:
    alice, bob = acquainted()
    for turn in range(6):
        assert bob.read(alice.send(b"to bob %d" % turn)) == b"to bob %d" % turn
        assert alice.read(bob.send(b"to alice %d" % turn)) == b"to alice %d" % turn


def test_the_first_messages_are_pre_key_messages_until_an_answer_was_decrypted() -> None:
    alice, bob = Party(), Party()
    alice.start(bob.bundle())
    first, second = alice.send(b"1"), alice.send(b"2")
    assert [first.kind, second.kind] == ["pkmsg", "pkmsg"]
    assert alice.ratchet.has_pending_pre_key
    bob.read(first)
    assert not bob.ratchet.has_pending_pre_key
    alice.read(bob.send(b"answer"))
    assert not alice.ratchet.has_pending_pre_key
    assert alice.send(b"3").kind == "msg"


def test_a_ratchet_knows_the_one_time_key_it_was_begun_with_until_that_is_gone() -> None:
    alice, bob = Party(), Party()
    keys = bob.bundle()
    assert not alice.ratchet.was_begun_with(keys)
    alice.start(keys)
    assert alice.ratchet.was_begun_with(keys)
    assert not alice.ratchet.was_begun_with(bob.bundle())
    assert not alice.ratchet.was_begun_with(replace(keys, signed_pre_key_id=99))
    assert not alice.ratchet.was_begun_with(replace(keys, identity=b"\0" * 32))
    assert not alice.ratchet.archive_current().was_begun_with(keys)
    bob.read(alice.send(b"hello"))
    alice.read(bob.send(b"answer"))
    assert not alice.ratchet.was_begun_with(keys)

    without = replace(bob.bundle(), pre_key=None, pre_key_id=None)
    alice.start(without)
    assert not alice.ratchet.was_begun_with(without), "its signed one begins as many as one likes"


@pytest.mark.requirement("B1")
def test_a_message_is_read_once_and_then_a_duplicate() -> None:
    alice, bob = acquainted()
    message = alice.send(b"once")
    bob.read(message)
    with pytest.raises(DuplicateMessage):
        bob.read(message)


def test_a_message_overtaken_by_many_is_still_read_once() -> None:
    alice, bob = acquainted()
    late = alice.send(b"late")
    for _ in range(20):
        bob.read(alice.send(b"x"))
    assert bob.ratchet.current is not None
    assert bob.ratchet.current.skipped_count == 1
    assert bob.read(late) == b"late"
    assert bob.ratchet.current.skipped_count == 0
    with pytest.raises(DuplicateMessage):
        bob.read(late)


def test_a_late_message_of_an_older_chain_is_read() -> None:
    alice, bob = acquainted()
    late = alice.send(b"late")
    bob.read(alice.send(b"x"))
    for _ in range(MAX_RECEIVING - 1):
        alice.read(bob.send(b"y"))
        bob.read(alice.send(b"z"))
    assert bob.read(late) == b"late"


def test_the_sixth_chain_pushes_out_the_first() -> None:
    alice, bob = acquainted()
    late = alice.send(b"late")
    bob.read(alice.send(b"x"))
    for _ in range(MAX_RECEIVING):
        alice.read(bob.send(b"y"))
        bob.read(alice.send(b"z"))
    assert bob.ratchet.current is not None
    assert len(bob.ratchet.current.receiving) == MAX_RECEIVING
    with pytest.raises(BadMac):
        bob.read(late)


def test_2000_ahead_is_read_and_2001_is_refused() -> None:
    alice, bob = acquainted()
    bob.read(alice.send(b"first"))
    for _ in range(MAX_AHEAD):
        alice.send(b"lost")
    at_the_limit, beyond = alice.send(b"reached"), alice.send(b"not reached")
    with pytest.raises(TooFarAhead):
        bob.read(beyond)
    assert bob.read(at_the_limit) == b"reached"
    assert bob.read(beyond) == b"not reached"


def test_a_new_chain_that_begins_too_far_ahead_is_refused() -> None:
    alice, bob = acquainted()
    for _ in range(MAX_AHEAD + 1):
        alice.send(b"lost")
    alice.read(bob.send(b"step"))
    for _ in range(MAX_AHEAD + 1):
        alice.send(b"lost")
    with pytest.raises(TooFarAhead):
        bob.read(alice.send(b"far"))


@pytest.mark.requirement("B1")
def test_a_message_whose_kept_key_was_pushed_out_is_lost_and_no_duplicate() -> None:
    alice, bob = acquainted()
    messages = [alice.send(b"%d" % index) for index in range(MAX_SKIPPED + 10)]
    bob.read(messages[MAX_SKIPPED])
    bob.read(messages[MAX_SKIPPED + 9])
    with pytest.raises(MessageKeyLost):
        bob.read(messages[0])
    assert bob.read(messages[8]) == b"8"
    with pytest.raises(DuplicateMessage):
        bob.read(messages[MAX_SKIPPED])


@pytest.mark.parametrize("index", [-1, -8, -20])
def test_a_message_changed_on_the_way_is_refused_and_changes_nothing(index: int) -> None:
    alice, bob = acquainted()
    before = bob.ratchet
    message = alice.send(b"genuine")
    with pytest.raises((BadMac, InvalidMessage)):
        bob.read(forged(message, index))
    assert bob.ratchet == before
    assert bob.read(message) == b"genuine"


def test_a_forged_counter_of_a_known_chain_is_no_duplicate() -> None:
    alice, bob = acquainted()
    message = alice.send(b"genuine")
    proto = whisper_pb2.SignalMessage.FromString(message.data[1:-8])
    proto.counter += 7
    data = message.data[:1] + proto.SerializeToString() + message.data[-8:]
    with pytest.raises(BadMac):
        bob.read(replace(message, data=data))
    assert bob.read(message) == b"genuine"


@pytest.mark.requirement("B1")
def test_a_message_to_another_device_is_not_read() -> None:
    alice, bob = acquainted()
    _, stranger = acquainted()
    with pytest.raises(BadMac):
        stranger.read(alice.send(b"for bob"))
    assert bob.ratchet.has_current


@pytest.mark.requirement("B1")
def test_nothing_can_be_sent_or_read_without_a_ratchet() -> None:
    alice, _ = acquainted()
    stranger = Party()
    with pytest.raises(NoRatchet):
        stranger.send(b"x")
    with pytest.raises(NoRatchet):
        stranger.read(alice.send(b"x"))


def test_bytes_that_are_no_message_say_so() -> None:
    alice, bob = acquainted()
    message = alice.send(b"x")
    proto = whisper_pb2.SignalMessage.FromString(message.data[1:-8])

    def rebuilt() -> Encrypted:
        return replace(message, data=b"\x33" + proto.SerializeToString() + bytes(8))

    for data in (b"", b"\x33", b"\x33" + bytes(8), b"\x33\xff\xff" + bytes(8)):
        with pytest.raises((InvalidMessage, InvalidKey)):
            bob.read(replace(message, data=data))
    with pytest.raises(InvalidVersion):
        bob.read(replace(message, data=b"\x23" + message.data[1:]))
    proto.ciphertext = b"no block"
    with pytest.raises(InvalidMessage):
        bob.read(rebuilt())
    proto.ciphertext = bytes(16)
    proto.ratchet_key = b"\x05" + bytes(32)  # low order: the secret would be known to everybody
    with pytest.raises(InvalidKey):
        bob.read(rebuilt())
    proto.ratchet_key = b"\x06" + bytes(range(32))
    with pytest.raises(InvalidKey):
        bob.read(rebuilt())


def test_a_sending_chain_ends_before_its_counter_would_wrap() -> None:
    alice, _ = acquainted()
    assert alice.ratchet.current is not None
    used_up = replace(alice.ratchet.current, sending_counter=MAX_COUNTER)
    alice.ratchet = alice.ratchet.with_current(used_up)
    with pytest.raises(ChainExhausted):
        alice.send(b"x")


def test_an_archived_ratchet_reads_what_was_in_flight_and_sends_nothing() -> None:
    alice, bob = acquainted()
    bob.read(alice.send(b"x"))
    late = [alice.send(b"late 0"), alice.send(b"late 1")]
    bob.ratchet = bob.ratchet.archive_current()
    with pytest.raises(NoRatchet):
        bob.send(b"x")
    assert bob.read(late[1]) == b"late 1"
    bob.start(alice.bundle())
    fresh = bob.ratchet.base_key
    assert bob.read(late[0]) == b"late 0"
    assert bob.ratchet.base_key == fresh, "its sending chain must not come back into use"


def test_a_message_under_a_new_key_finds_the_state_that_was_given_up() -> None:
    """Before there is another one: between a refused message and the fetching of new keys."""
    alice, bob = acquainted()
    bob.read(alice.send(b"x"))
    alice.read(bob.send(b"y"))
    bob.ratchet = bob.ratchet.archive_current()
    assert bob.read(alice.send(b"under a new ratchet key")) == b"under a new ratchet key"
    assert not bob.ratchet.has_current


def test_a_long_chain_of_a_state_that_was_replaced_goes_on() -> None:
    alice, bob = acquainted()
    for number in range(MAX_AHEAD + 2):
        sent = alice.send(b"x")
        if number % MAX_AHEAD == 0:
            bob.read(sent)
    late = alice.send(b"late")
    bob.start(alice.bundle())
    assert bob.read(late) == b"late"


def test_a_state_given_up_comes_back_only_with_a_fresh_sending_chain() -> None:
    alice, bob = acquainted()
    bob.read(alice.send(b"x"))
    alice.read(bob.send(b"y"))
    given_up = bob.ratchet.current
    assert given_up is not None
    bob.ratchet = bob.ratchet.archive_current()
    bob.start(alice.bundle())
    bob.read(alice.send(b"under a new ratchet key"))
    assert bob.ratchet.base_key == given_up.base_key
    assert bob.ratchet.current is not None
    assert bob.ratchet.current.ratchet_key != given_up.ratchet_key
    assert alice.read(bob.send(b"z")) == b"z"


def test_a_state_that_the_peer_still_uses_becomes_current_again() -> None:
    alice, bob = acquainted()
    message = alice.send(b"before the change")
    first = bob.ratchet.base_key
    bob.start(alice.bundle())
    assert bob.ratchet.base_key != first
    read = bob.try_read(message)
    assert read.promoted
    assert read.ratchet.base_key == first
    assert read.ratchet.archived_count == bob.ratchet.archived_count


def test_a_state_of_another_identity_is_read_but_never_made_current() -> None:
    alice, bob = acquainted()
    late = alice.send(b"by the old identity")
    reinstalled = Party()
    bob.start(reinstalled.bundle())
    read = bob.try_read(late)
    assert read.plaintext == b"by the old identity"
    assert read.identity == alice.local.key_pair.public
    assert not read.promoted
    assert read.ratchet.remote_identity == reinstalled.local.key_pair.public


def test_both_may_begin_at_once_and_go_on_talking() -> None:
    alice, bob = Party(), Party()
    alice.start(bob.bundle())
    bob.start(alice.bundle())
    from_alice, from_bob = alice.send(b"a"), bob.send(b"b")
    assert bob.read(from_alice) == b"a"
    assert alice.read(from_bob) == b"b"
    for turn in range(4):
        assert bob.read(alice.send(b"a%d" % turn)) == b"a%d" % turn
        assert alice.read(bob.send(b"b%d" % turn)) == b"b%d" % turn


def test_the_oldest_archived_state_is_dropped_first() -> None:
    alice, bob = acquainted()
    first = alice.send(b"of the first state")
    for _ in range(MAX_ARCHIVED):
        bob.start(alice.bundle())
    assert bob.ratchet.archived_count == MAX_ARCHIVED
    assert bob.try_read(first).plaintext == b"of the first state"
    bob.start(alice.bundle())
    assert bob.ratchet.archived_count == MAX_ARCHIVED
    with pytest.raises(BadMac):
        bob.read(first)


def test_a_ratchet_says_what_diagnostics_need() -> None:
    alice, bob = acquainted()
    bob.read(alice.send(b"x"))
    bob.send(b"y")
    current = bob.ratchet.current
    assert current is not None
    assert bob.ratchet.remote_identity == alice.local.key_pair.public
    assert bob.ratchet.remote_registration_id == alice.local.registration_id
    assert bob.ratchet.base_key == alice.ratchet.base_key
    assert current.sending_counter == 1
    assert current.receiving_counter == 1
    assert not current.initiated
    assert Ratchet.empty.is_empty
    assert Ratchet.empty.remote_identity is None
    assert Ratchet.empty.remote_registration_id is None
    assert Ratchet.empty.base_key is None
    assert Ratchet.empty.archive_current() is Ratchet.empty


def test_no_secret_shows_in_a_repr() -> None:
    alice, bob = acquainted()
    for _ in range(3):
        alice.send(b"lost")
    read = bob.try_read(alice.send(b"secret text"))
    shown = repr(read) + repr(alice)
    state = read.ratchet.current
    assert state is not None
    secrets = [state.root_key, state.sending_key, state.ratchet_key.private, b"secret text"]
    secrets += [chain.chain.skipped.entries or chain.chain.key for chain in state.receiving]
    assert not any(repr(secret)[2:-1] in shown for secret in secrets)
