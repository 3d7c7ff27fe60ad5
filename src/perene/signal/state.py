"""One state of a double ratchet: all it needs to go on, and how it is stored."""

from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from perene.crypto import KeyPair
from perene.signal.chain import KEY_SIZE, MAX_COUNTER, Chain, SkippedKeys
from perene.signal.errors import InvalidRecord
from perene.signal.proto import state_pb2

# go.mau.fi/libsignal (2025-05-13) and whatsapp-rust (2026-08-21) keep five; npm libsignal 6.0.0
# never drops one, and its records grow for ever. A peer opens a chain only after it has read an
# answer of ours, so five back is far behind any reordering by the server.
MAX_RECEIVING = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivingChain:
    """The chain of the messages that the peer sends under one ratchet key (32 bytes)."""

    ratchet_key: bytes
    chain: Chain
    _encoded: bytes | None = field(default=None, init=False, repr=False, compare=False)

    def encoded(self) -> bytes:
        """Return the stored form; made once for each value."""
        if self._encoded is None:
            chain = self.chain
            proto = state_pb2.ReceivingChain(
                ratchet_key=self.ratchet_key,
                key=chain.key,
                counter=chain.counter,
                skipped=chain.skipped.entries,
                lost_below=chain.skipped.lost_below,
            )
            object.__setattr__(self, "_encoded", proto.SerializeToString())
        assert self._encoded is not None
        return self._encoded

    @classmethod
    def decoded(cls, data: bytes) -> "ReceivingChain":
        """Read what `encoded` wrote, or raise InvalidRecord."""
        try:
            proto = state_pb2.ReceivingChain.FromString(data)
        except DecodeError as error:
            raise InvalidRecord("a receiving chain is no protobuf") from error
        skipped = SkippedKeys.parse(
            proto.skipped, lost_below=proto.lost_below, before=proto.counter
        )
        chain = Chain(key=sized(proto.key), counter=bounded(proto.counter), skipped=skipped)
        return cls(ratchet_key=sized(proto.ratchet_key), chain=chain)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingPreKey:
    """What the peer needs to begin, repeated in every message until it has answered."""

    signed_pre_key_id: int
    pre_key_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RatchetState:
    """One state of the ratchet with one peer. Keys have 32 bytes.

    `base_key` names the state: it is the ephemeral key that began it, ours if `initiated`.
    `sending_counter` is the counter of the next message sent under `ratchet_key`.
    A `receive_only` state goes on decrypting but is never again made current for sending, until a
    new ratchet key of the peer has given it a fresh sending chain.
    """

    remote_identity: bytes
    remote_registration_id: int
    base_key: bytes
    initiated: bool
    root_key: bytes = field(repr=False)
    ratchet_key: KeyPair
    sending_key: bytes = field(repr=False)
    sending_counter: int = 0
    previous_counter: int = 0
    receiving: tuple[ReceivingChain, ...] = ()
    pending: PendingPreKey | None = None
    receive_only: bool = False
    _encoded: bytes | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def has_pending_pre_key(self) -> bool:
        """Whether what we send is still a pre-key message: nothing was decrypted in this state."""
        return self.pending is not None

    @property
    def receiving_counter(self) -> int:
        """The counter expected next in the newest receiving chain; 0 when there is none."""
        return self.receiving[-1].chain.counter if self.receiving else 0

    @property
    def skipped_count(self) -> int:
        """How many messages were passed over and can still be decrypted."""
        return sum(len(receiving.chain.skipped) for receiving in self.receiving)

    def find_receiving(self, ratchet_key: bytes) -> ReceivingChain | None:
        """Return the chain of a ratchet key of the peer, None when it is not (any more) known."""
        for receiving in reversed(self.receiving):
            if receiving.ratchet_key == ratchet_key:
                return receiving
        return None

    def encoded(self) -> bytes:
        """Return the stored form; made once for each value."""
        if self._encoded is None:
            object.__setattr__(self, "_encoded", self._encode())
        assert self._encoded is not None
        return self._encoded

    def _encode(self) -> bytes:
        proto = state_pb2.RatchetState(
            remote_identity=self.remote_identity,
            remote_registration_id=self.remote_registration_id,
            base_key=self.base_key,
            initiated=self.initiated,
            root_key=self.root_key,
            ratchet_private=self.ratchet_key.private,
            ratchet_public=self.ratchet_key.public,
            sending_key=self.sending_key,
            sending_counter=self.sending_counter,
            previous_counter=self.previous_counter,
            receiving=[receiving.encoded() for receiving in self.receiving],
            receive_only=self.receive_only,
        )
        if self.pending is not None:
            proto.pending.signed_pre_key_id = self.pending.signed_pre_key_id
            if self.pending.pre_key_id is not None:
                proto.pending.pre_key_id = self.pending.pre_key_id
            proto.pending.SetInParent()
        return proto.SerializeToString()

    @classmethod
    def decoded(cls, data: bytes) -> "RatchetState":
        """Read what `encoded` wrote, or raise InvalidRecord."""
        try:
            proto = state_pb2.RatchetState.FromString(data)
        except DecodeError as error:
            raise InvalidRecord("a ratchet state is no protobuf") from error
        if len(proto.receiving) > MAX_RECEIVING:
            raise InvalidRecord(f"a ratchet state has at most {MAX_RECEIVING} receiving chains")
        return cls(
            remote_identity=sized(proto.remote_identity),
            remote_registration_id=proto.remote_registration_id,
            base_key=sized(proto.base_key),
            initiated=proto.initiated,
            root_key=sized(proto.root_key),
            ratchet_key=KeyPair(sized(proto.ratchet_private), sized(proto.ratchet_public)),
            sending_key=sized(proto.sending_key),
            sending_counter=bounded(proto.sending_counter),
            previous_counter=proto.previous_counter,
            receiving=tuple(ReceivingChain.decoded(part) for part in proto.receiving),
            pending=_pending(proto),
            receive_only=proto.receive_only,
        )


def _pending(proto: state_pb2.RatchetState) -> PendingPreKey | None:
    if not proto.HasField("pending"):
        return None
    pending = proto.pending
    return PendingPreKey(
        signed_pre_key_id=pending.signed_pre_key_id,
        pre_key_id=pending.pre_key_id if pending.HasField("pre_key_id") else None,
    )


def sized(key: bytes) -> bytes:
    """Return a stored key if it has 32 bytes, or raise InvalidRecord."""
    if len(key) != KEY_SIZE:
        raise InvalidRecord(f"a stored key has {len(key)} bytes")
    return key


def bounded(counter: int) -> int:
    """Return a stored counter (one past the last used at most), or raise InvalidRecord."""
    if counter > MAX_COUNTER + 1:
        raise InvalidRecord("a stored counter is beyond 32 bits")
    return counter
