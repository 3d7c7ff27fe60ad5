"""The ratchet with one peer: the state in use, and older ones that may still be needed."""

from dataclasses import dataclass, replace
from typing import ClassVar

from google.protobuf.message import DecodeError

from perene.signal.bundle import PreKeyBundle
from perene.signal.errors import InvalidRecord, NewerRecord
from perene.signal.proto import state_pb2
from perene.signal.state import RatchetState

FORMAT = 1
# npm libsignal session_record.js 6.0.0 and go.mau.fi/libsignal SessionRecord.go (2025-05-13).
MAX_ARCHIVED = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratchet:
    """All states with one peer, as a value: every operation returns a new one.

    `current` is the one to send with. `archived` (newest first, at most 40) only decrypt what was
    in flight when they were replaced, or become current again when the peer goes on using them.
    """

    empty: ClassVar["Ratchet"]

    current: RatchetState | None = None
    archived: tuple[RatchetState, ...] = ()

    @property
    def has_current(self) -> bool:
        """Whether a message can be sent without fetching a bundle."""
        return self.current is not None

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all can be decrypted."""
        return self.current is None and not self.archived

    @property
    def remote_identity(self) -> bytes | None:
        """The peer's identity key (32 bytes) in the current state."""
        return self.current.remote_identity if self.current else None

    @property
    def remote_registration_id(self) -> int | None:
        """The peer's registration id in the current state."""
        return self.current.remote_registration_id if self.current else None

    @property
    def base_key(self) -> bytes | None:
        """The key (32 bytes) that names the current state: another one, another state."""
        return self.current.base_key if self.current else None

    @property
    def has_pending_pre_key(self) -> bool:
        """Whether the next message sent is a pre-key message."""
        return self.current is not None and self.current.has_pending_pre_key

    def was_begun_with(self, bundle: PreKeyBundle) -> bool:
        """Whether the current state was begun with a bundle's one-time pre-key, unanswered so far.

        Another state could not be: the peer has thrown that key away if it has read anything.
        """
        state = self.current
        if state is None or state.pending is None or bundle.pre_key_id is None:
            return False
        return (
            state.remote_identity == bundle.identity
            and state.pending.signed_pre_key_id == bundle.signed_pre_key_id
            and state.pending.pre_key_id == bundle.pre_key_id
        )

    @property
    def archived_count(self) -> int:
        """How many older states are kept."""
        return len(self.archived)

    def archive_current(self) -> "Ratchet":
        """Return a ratchet without a current state: sending needs a new one.

        The archived state still decrypts but is marked `receive_only`, so that a late message
        cannot bring its sending chain back into use.
        """
        if self.current is None:
            return self
        retired = replace(self.current, receive_only=True)
        return Ratchet(archived=self._prepended(retired))

    def with_new(self, state: RatchetState) -> "Ratchet":
        """Return a ratchet that sends with `state`; the current one is archived."""
        archived = self.archived if self.current is None else self._prepended(self.current)
        return Ratchet(current=state, archived=archived)

    def with_current(self, state: RatchetState) -> "Ratchet":
        """Return a ratchet whose current state has become `state`."""
        return Ratchet(current=state, archived=self.archived)

    def with_archived(self, index: int, state: RatchetState) -> "Ratchet":
        """Return a ratchet in which the archived state at `index` has become `state`.

        A state that the peer still uses becomes the current one, as in go.mau.fi/libsignal
        (SessionCipher.go, 2025-05-13; npm libsignal leaves it archived), so that two parties who
        began at the same time meet in one state. It stays archived where that would undo a
        decision: when it is `receive_only`, when there is no current one (whoever archived it
        wants a fresh start), and when it belongs to another identity key of the peer.
        """
        others = self.archived[:index] + self.archived[index + 1 :]
        current = self.current
        if (
            current is None
            or state.receive_only
            or state.remote_identity != current.remote_identity
        ):
            return Ratchet(
                current=current,
                archived=(*self.archived[:index], state, *self.archived[index + 1 :]),
            )
        return Ratchet(current=state, archived=(current, *others))

    def serialize(self) -> bytes:
        """Return the stored form. States that did not change are not encoded again."""
        return state_pb2.RatchetRecord(
            version=FORMAT,
            current=self.current.encoded() if self.current else b"",
            archived=[state.encoded() for state in self.archived],
        ).SerializeToString()

    @classmethod
    def parse(cls, data: bytes) -> "Ratchet":
        """Read what `serialize` wrote; raises InvalidRecord, or NewerRecord for a later format."""
        try:
            record = state_pb2.RatchetRecord.FromString(data)
        except DecodeError as error:
            raise InvalidRecord("the ratchet is no protobuf") from error
        check_format(record.version, FORMAT)
        if len(record.archived) > MAX_ARCHIVED:
            raise InvalidRecord(f"a ratchet has at most {MAX_ARCHIVED} archived states")
        return cls(
            current=RatchetState.decoded(record.current) if record.current else None,
            archived=tuple(RatchetState.decoded(part) for part in record.archived),
        )

    def _prepended(self, state: RatchetState) -> tuple[RatchetState, ...]:
        return (state, *self.archived[: MAX_ARCHIVED - 1])


Ratchet.empty = Ratchet()


def check_format(version: int, newest: int) -> None:
    """Raise NewerRecord for a later format than `newest`, InvalidRecord for none at all."""
    if version > newest:
        raise NewerRecord(version)
    if version < 1:
        raise InvalidRecord("the record names no format")
