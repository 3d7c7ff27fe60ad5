"""Whatever the network does, each delivered message is decrypted exactly once."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from perene.signal import (
    DuplicateMessage,
    Encrypted,
    SenderKeyRecord,
    create_sender_key,
    distribution_message,
    group_decrypt,
    group_encrypt,
    process_distribution,
)
from perene.signal.chain import MAX_AHEAD, MAX_SKIPPED, Chain, next_key
from perene.signal.state import MAX_RECEIVING
from tests.unit.signal.parties import Party

# A party promises to read five chains back, and forty states; what is older, the network forgets.
MAX_BEGINNINGS = 6
SIDES = ("alice", "bob")


class TwoParties(RuleBasedStateMachine):
    """Two parties, and a network that loses, repeats, reorders; both restart at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.parties = {"alice": Party(), "bob": Party()}
        self.under_way: list[tuple[str, bytes, Encrypted, int]] = []
        self.delivered: list[tuple[str, bytes, Encrypted, int]] = []
        self.sent = 0
        self.steps = 0
        self.beginnings = 0

    @initialize(starter=st.sampled_from(SIDES), one_time=st.booleans())
    def begin(self, starter: str, one_time: bool) -> None:
        self.parties[starter].start(self.parties[_other(starter)].bundle(one_time=one_time))

    @rule(sender=st.sampled_from(SIDES))
    def send(self, sender: str) -> None:
        party = self.parties[sender]
        if not party.ratchet.has_current:
            return
        text = b"%d by %s" % (self.sent, sender.encode())
        self.sent += 1
        self.under_way.append((_other(sender), text, party.send(text), self.steps))

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def deliver(self, data: Any) -> None:
        index = data.draw(st.integers(0, len(self.under_way) - 1))
        arrived = self.under_way.pop(index)
        receiver, text, message, _ = arrived
        party = self.parties[receiver]
        before = party.ratchet.current
        assert party.read(message) == text
        self.delivered.append(arrived)
        after = party.ratchet.current
        if before is None or after is None or before.ratchet_key != after.ratchet_key:
            self.steps += 1
            oldest = self.steps - MAX_RECEIVING
            self.under_way = [each for each in self.under_way if each[3] > oldest]
            self.delivered = [each for each in self.delivered if each[3] > oldest]

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def lose(self, data: Any) -> None:
        del self.under_way[data.draw(st.integers(0, len(self.under_way) - 1))]

    @precondition(lambda self: self.delivered)
    @rule(data=st.data())
    def repeat(self, data: Any) -> None:
        index = data.draw(st.integers(0, len(self.delivered) - 1))
        receiver, _, message, _ = self.delivered[index]
        party = self.parties[receiver]
        before = party.ratchet
        with pytest.raises(DuplicateMessage):
            party.read(message)
        assert party.ratchet == before

    @precondition(lambda self: self.beginnings < MAX_BEGINNINGS)
    @rule(side=st.sampled_from(SIDES), given_up=st.booleans())
    def begin_anew(self, side: str, given_up: bool) -> None:
        self.beginnings += 1
        party = self.parties[side]
        if given_up:
            party.ratchet = party.ratchet.archive_current()
        party.start(self.parties[_other(side)].bundle())

    @rule(side=st.sampled_from(SIDES))
    def restart(self, side: str) -> None:
        self.parties[side].restart()

    @invariant()
    def what_is_stored_is_what_is_held(self) -> None:
        for party in self.parties.values():
            assert type(party.ratchet).parse(party.ratchet.serialize()) == party.ratchet


TestTwoParties = TwoParties.TestCase
TestTwoParties.settings = settings(max_examples=60, stateful_step_count=40)


@settings(max_examples=60)
@given(
    order=st.permutations(range(12)),
    lost=st.sets(st.integers(0, 11)),
    restarts=st.sets(st.integers(0, 11)),
    told_again=st.integers(0, 11),
)
def test_each_group_message_is_read_exactly_once(
    order: list[int], lost: set[int], restarts: set[int], told_again: int
) -> None:
    sender = create_sender_key(SenderKeyRecord.empty)
    member = process_distribution(SenderKeyRecord.empty, distribution_message(sender))
    messages: list[bytes] = []
    later = b""
    for index in range(12):
        if index == told_again:
            later = distribution_message(sender)
        sent = group_encrypt(sender, b"%d" % index)
        sender = SenderKeyRecord.parse(sent.record.serialize())
        messages.append(sent.data)
    for place, index in enumerate(order):
        if place == told_again:
            member = process_distribution(member, later)
        if index in lost:
            continue
        read = group_decrypt(member, messages[index])
        assert read.plaintext == b"%d" % index
        member = read.record
        with pytest.raises(DuplicateMessage):
            group_decrypt(member, messages[index])
        if place in restarts:
            member = SenderKeyRecord.parse(member.serialize())


@settings(max_examples=30)
@given(jumps=st.lists(st.integers(1, MAX_AHEAD), min_size=1, max_size=6))
def test_a_chain_keeps_the_newest_2000_it_passed_and_says_which_it_dropped(
    jumps: list[int],
) -> None:
    chain = Chain(key=bytes(32))
    plain = bytes(32)
    keys: list[bytes] = []
    for jump in jumps:
        chain = chain.seek(chain.counter + jump).settle()
    for _ in range(chain.counter):
        keys.append(plain)
        plain = next_key(plain)
    assert chain.key == plain
    kept = chain.skipped.counters
    assert len(kept) == min(MAX_SKIPPED, sum(jumps))
    assert all(counter >= chain.skipped.lost_below for counter in kept)
    for counter in (kept[0], kept[-1]):
        assert chain.seek(counter).seed == Chain(key=keys[counter]).seek(0).seed


def _other(side: str) -> str:
    return "bob" if side == "alice" else "alice"
