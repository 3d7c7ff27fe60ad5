"""A unit: everything that one stanza changes, committed in one transaction."""

from dataclasses import dataclass
from typing import Protocol

from perene.core.errors import ForgottenEpoch, StaleEpoch
from perene.core.events import Event
from perene.core.ids import Epoch, SessionId
from perene.core.messages import LedgerEntry, Message, StatusChange
from perene.core.outages import Outage
from perene.core.privacy_tokens import PrivacyToken


class Serializable(Protocol):
    """An immutable value that knows its own versioned bytes.

    Serialising is left to the committer: when one transaction holds many units that advance the
    same ratchet, only the last value is written.
    """

    def serialize(self) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RatchetWrite:
    """The new state of the ratchet at a Signal address ("name.device"), or its removal."""

    address: str
    state: Serializable | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderKeyWrite:
    """The new sender key state of one sender ("name.device") in one group, or its removal."""

    group: str
    address: str
    state: Serializable | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreKeyWrite:
    """A new one-time pre-key: its id (1 to 2**24 - 1) and its private key (32 bytes)."""

    id: int
    private: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderChange:
    """Which devices ("name.device") hold our sender key of a group, from now on.

    `forget_all` empties the list first.
    """

    group: str
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    forget_all: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressPair:
    """One person's two addresses: phone number JID and LID JID, both bare."""

    pn: str
    lid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerMessage:
    """A message between own devices that is not part of any conversation; kept sealed."""

    id: str
    kind: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Who the session is: own JIDs (with device), name and platform of the phone."""

    pn: str | None = None
    lid: str | None = None
    push_name: str | None = None
    platform: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Changes that become true together or not at all.

    A later unit of the same session builds on the earlier ones: when one fails, those behind it
    must fail too (the committer's lanes see to that). `ciphertexts` are the 32-byte hashes under
    which a redelivery is recognised. `credentials` replaces the stored credentials, `standing`
    what a later run must know of how connections ended (see `core.standing`), `outage` the row of
    its id.
    """

    session: SessionId
    epoch: Epoch
    credentials: Serializable | None = None
    profile: Profile | None = None
    ratchets: tuple[RatchetWrite, ...] = ()
    sender_keys: tuple[SenderKeyWrite, ...] = ()
    holders: tuple[HolderChange, ...] = ()
    pre_keys_added: tuple[PreKeyWrite, ...] = ()
    pre_keys_uploaded: tuple[int, ...] = ()
    pre_keys_consumed: tuple[int, ...] = ()
    address_pairs: tuple[AddressPair, ...] = ()
    messages: tuple[Message, ...] = ()
    status_changes: tuple[StatusChange, ...] = ()
    peer_messages: tuple[PeerMessage, ...] = ()
    ledger: tuple[LedgerEntry, ...] = ()
    ciphertexts: tuple[bytes, ...] = ()
    privacy_tokens: tuple[PrivacyToken, ...] = ()
    outage: Outage | None = None
    standing: str | None = None
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What a commit made of a unit: how many of its messages were new to the database."""

    new_messages: int


Outcome = Committed | StaleEpoch | ForgottenEpoch
"""What became of a unit in a transaction that was committed: done, or refused with this."""
