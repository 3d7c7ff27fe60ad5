"""A symmetric chain: one key that moves forward, and the keys of messages it moved past.

The same chain serves both ratchets and sender keys: HMAC-SHA-256 of the chain key with 0x01 is the
seed of a message key, with 0x02 the next chain key (npm libsignal session_cipher.js 6.0.0; Baileys
lib/Signal/Group/sender-chain-key.js 7.0.0-rc14).
"""

import struct
from dataclasses import dataclass, field
from itertools import pairwise

from perene.crypto import hmac_sha256
from perene.signal.errors import DuplicateMessage, InvalidRecord, MessageKeyLost, TooFarAhead

# npm libsignal, Baileys and go.mau.fi/libsignal (2025-05-13) agree on both; see
# docs/reference/protocol.md §4.6.
MAX_AHEAD = 2000
MAX_SKIPPED = 2000

KEY_SIZE = 32
MAX_COUNTER = 0xFFFF_FFFF
_COUNTER_SIZE = 4
_ENTRY = _COUNTER_SIZE + KEY_SIZE
_LAYOUT = ">I32x"  # an entry of which only the counter is read


def message_seed(chain_key: bytes) -> bytes:
    """Return the seed from which the keys of the chain's next message are derived."""
    return hmac_sha256(chain_key, b"\x01")


def next_key(chain_key: bytes) -> bytes:
    """Return the chain key that follows."""
    return hmac_sha256(chain_key, b"\x02")


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedKeys:
    """Seeds of messages that have not arrived yet, at most 2000, oldest dropped first.

    All of them are one bytes value (entries of a 4-byte counter and a 32-byte seed, counters
    increasing), so a chain that changes nothing here shares it, and storing it is one copy.
    A counter below `lost_below` that has no entry may have been dropped undecrypted.
    """

    entries: bytes = field(default=b"", repr=False)
    lost_below: int = 0

    def __len__(self) -> int:
        return len(self.entries) // _ENTRY

    @property
    def counters(self) -> tuple[int, ...]:
        """The counters that can still arrive, increasing."""
        return tuple(counter for (counter,) in struct.iter_unpack(_LAYOUT, self.entries))

    @classmethod
    def parse(cls, entries: bytes, *, lost_below: int, before: int) -> "SkippedKeys":
        """Read stored entries, all of them `before` the chain's counter, or raise InvalidRecord."""
        if len(entries) % _ENTRY or len(entries) > MAX_SKIPPED * _ENTRY:
            raise InvalidRecord("skipped keys are up to 2000 entries of 36 bytes")
        skipped = cls(entries=entries, lost_below=lost_below)
        counters = skipped.counters
        if any(left >= right for left, right in pairwise(counters)):
            raise InvalidRecord("counters of skipped keys increase")
        if counters and counters[-1] >= before:
            raise InvalidRecord("a skipped key is ahead of its chain")
        return skipped

    def find(self, counter: int) -> int | None:
        """Return the index of the entry for `counter`, None when there is none."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self._counter(middle) < counter:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self) and self._counter(low) == counter else None

    def seed(self, index: int) -> bytes:
        """Return the seed of the entry at `index`."""
        return self.entries[index * _ENTRY + _COUNTER_SIZE : (index + 1) * _ENTRY]

    def without(self, index: int) -> "SkippedKeys":
        """Return these keys but the one at `index`."""
        left, right = self.entries[: index * _ENTRY], self.entries[(index + 1) * _ENTRY :]
        return SkippedKeys(entries=left + right, lost_below=self.lost_below)

    def plus(self, first: int, chain_keys: list[bytes]) -> "SkippedKeys":
        """Return these keys and those of `chain_keys`, whose counters run on from `first`."""
        added = b"".join(
            counter.to_bytes(_COUNTER_SIZE) + message_seed(key)
            for counter, key in enumerate(chain_keys, first)
        )
        excess = len(self.entries) + len(added) - MAX_SKIPPED * _ENTRY
        if excess <= 0:
            return SkippedKeys(entries=self.entries + added, lost_below=self.lost_below)
        # At most 2000 are added at once, so all that has to go is among the older ones.
        last_lost = self._counter(excess // _ENTRY - 1)
        return SkippedKeys(
            entries=self.entries[excess:] + added, lost_below=max(self.lost_below, last_lost + 1)
        )

    def _counter(self, index: int) -> int:
        start = index * _ENTRY
        return int.from_bytes(self.entries[start : start + _COUNTER_SIZE])


NONE_SKIPPED = SkippedKeys()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A receiving chain: `key` belongs to the message with `counter`, the next one expected."""

    key: bytes = field(repr=False)
    counter: int = 0
    skipped: SkippedKeys = NONE_SKIPPED

    def seek(self, counter: int) -> "Found":
        """Find the seed for `counter` without changing anything.

        Raises DuplicateMessage for a counter that was used, MessageKeyLost for one whose key is
        gone without use, TooFarAhead for one that would cost over 2000 derivations.
        """
        if counter < self.counter:
            index = self.skipped.find(counter)
            if index is not None:
                return Found(self, self.skipped.seed(index), index, self.key, [])
            if counter < self.skipped.lost_below:
                raise MessageKeyLost(f"the key of message {counter} was dropped")
            raise DuplicateMessage(f"message {counter} of this chain was decrypted before")
        if counter - self.counter > MAX_AHEAD:
            raise TooFarAhead(f"message {counter} is {counter - self.counter} ahead of the chain")
        key = self.key
        passed: list[bytes] = []
        for _ in range(counter - self.counter):
            passed.append(key)
            key = next_key(key)
        return Found(self, message_seed(key), None, key, passed)


@dataclass(frozen=True, slots=True)
class Found:
    """A message's seed, and what it takes to move the chain once the message proved genuine."""

    chain: Chain
    seed: bytes = field(repr=False)
    index: int | None
    key: bytes = field(repr=False)
    passed: list[bytes] = field(repr=False)

    def settle(self) -> Chain:
        """Return the chain after this message.

        Seeds of the messages passed over are derived only here: a forged counter costs the walk
        along the chain, never the memory or the second half of the work.
        """
        chain = self.chain
        if self.index is not None:
            skipped = chain.skipped.without(self.index)
            return Chain(key=chain.key, counter=chain.counter, skipped=skipped)
        skipped = chain.skipped
        if self.passed:
            skipped = skipped.plus(chain.counter, self.passed)
        counter = chain.counter + len(self.passed) + 1
        return Chain(key=next_key(self.key), counter=counter, skipped=skipped)
