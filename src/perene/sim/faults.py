"""Faults that a test asked for: what the server does wrong, to whom, and how often."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypedDict, Unpack

from perene.sim.endings import Ending
from perene.sim.model import Device

FaultKind = Literal[
    "corrupt",
    "unavailable",
    "duplicate",
    "reorder",
    "close_after",
    "half_frames",
    "short_batches",
    "paired_frames",
    "silence",
    "deaf",
    "iq_drop",
    "iq_delay",
    "no_pong",
    "lost_ack",
    "lost_message",
    "refuse_message",
    "by_number_only",
    "refuse_login",
    "refuse_pairing",
    "end_linking",
    "lost_edge",
    "ask_passkey",
    "downgrade",
    "refresh_registration",
    "empty_code_notice",
    "odd_code_notice",
    "refuse_code",
    "wrong_pre_key",
]

KINDS: Final[dict[str, str]] = {
    "corrupt": "flip a bit in the ciphertext of the next `count` messages to the device",
    "unavailable": "deliver the next `count` messages to the device without their content",
    "duplicate": "deliver the next `count` messages to the device twice",
    "reorder": "deliver each of the next `count` messages to the device after the one behind it",
    "close_after": "close the socket after delivering each of the next `count` messages, before"
    " its answer; or end the stream by `how` (and `code`)",
    "half_frames": "send the next `count` frames in two WebSocket messages each",
    "short_batches": "give out at most `count` queued stanzas for each time that the client pulls,"
    " and none otherwise, on the present connection",
    "paired_frames": "put two frames into each of the next `count` WebSocket messages",
    "silence": "send nothing and read nothing more on the present connection",
    "deaf": "answer queries, but deliver no stanza on the present connection",
    "iq_drop": "leave the next `count` queries (of `xmlns`, if given) without an answer",
    "iq_delay": "answer the next `count` queries (of `xmlns`, if given) after `seconds`",
    "no_pong": "leave the next `count` pings without an answer",
    "lost_ack": "relay the next `count` messages of the device, without acknowledging them",
    "lost_message": "lose the next `count` messages of the device before anything is done",
    "refuse_message": "answer the next `count` messages of the device with error `code`",
    "by_number_only": "refuse the next `count` messages of the device that address a person by LID"
    " (400), as of an account that was not moved to LIDs",
    "refuse_login": "answer the next `count` logins with failure `reason` (and `code`, `expire`);"
    " or end the stream by `how` (and `code`)",
    "refuse_pairing": "end the stream of the next `count` clients without an account by `how` (and"
    " `code`) instead of offering to pair",
    "end_linking": "end the stream of the next `count` clients that were linked by `how` (and"
    " `code`), not by 515",
    "lost_edge": "close the next `count` connections that come by an edge they were told of, before"
    " the handshake",
    "downgrade": "tell the next `count` clients whose code is scanned that the phone links no"
    " companions, and do not link them",
    "ask_passkey": "ask the next `count` clients that a phone has consented to for the account's"
    " passkey, and do not link them",
    "refresh_registration": "answer the next `count` scans by asking the client for another secret,"
    " and link it only by a code that shows that",
    "empty_code_notice": "send an empty notification ahead of what the phone says on each of the"
    " next `count` typed codes",
    "odd_code_notice": "send what the phone says on each of the next `count` typed codes with a"
    " key that is none, ahead of how it says it",
    "refuse_code": "refuse what the next `count` clients answer to a typed code, with error `code`",
    "wrong_pre_key": "let the next `count` new ratchets of that phone or contact name a one-time"
    " pre-key that nobody has",
}
"""What each kind does; shown by the admin API."""

ENDLESS: Final = 1 << 30
"""A count that no test exhausts."""


class FaultDetails(TypedDict, total=False):
    """What can be said about a fault; see `Fault`."""

    phone: str | None
    device: int | None
    count: int
    xmlns: str | None
    seconds: float
    reason: int
    code: int | None
    expire: int | None
    how: Ending | None


@dataclass(slots=True, kw_only=True)
class Fault:
    """One fault. `phone` and `device` narrow it to one account or device; None means any."""

    id: int
    kind: FaultKind
    phone: str | None = None
    device: int | None = None
    count: int = 1
    xmlns: str | None = None
    seconds: float = 0.0
    reason: int = 0
    code: int | None = None
    expire: int | None = None
    how: Ending | None = None

    def fits(self, device: Device | None) -> bool:
        """Whether the fault concerns this device, or a client without an account (None)."""
        if device is None:
            return self.phone is None and self.device is None
        return (self.phone is None or self.phone == device.account.phone) and (
            self.device is None or self.device == device.id
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ban:
    """A temporary ban of an account; it ends by itself."""

    until: datetime
    code: int


class Faults:
    """The faults still to happen."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._last_id = 0
        self.bans: dict[str, Ban] = {}
        self.minimum_version: tuple[int, ...] = ()
        """Clients older than this are refused with 405; empty accepts all."""
        self.linking_version: tuple[int, ...] = ()
        """Clients older than this are shown codes, and no phone links them; empty links all
        (Baileys#2679, 2026-07-01)."""

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, kind: FaultKind, **details: Unpack[FaultDetails]) -> Fault:
        """Plan a fault; it happens to the next `count` occasions that fit."""
        self._last_id += 1
        fault = Fault(id=self._last_id, kind=kind, **details)
        self._waiting.append(fault)
        return fault

    def take(
        self, kind: FaultKind, device: Device | None, xmlns: str | None = None
    ) -> Fault | None:
        """Return the fault that happens now, if any, and count it down."""
        for fault in self._waiting:
            if fault.kind == kind and fault.fits(device) and fault.xmlns in (None, xmlns):
                fault.count -= 1
                if fault.count <= 0:
                    self._waiting.remove(fault)
                return fault
        return None

    def claim(self, kind: FaultKind, device: Device) -> Fault | None:
        """Return a fault with its whole count, and forget it."""
        for fault in self._waiting:
            if fault.kind == kind and fault.fits(device):
                self._waiting.remove(fault)
                return fault
        return None

    def pending(self) -> list[Fault]:
        """Return what has not happened yet."""
        return list(self._waiting)

    def cancel(self, fault_id: int) -> bool:
        """Forget one fault; tell whether it was there."""
        before = len(self._waiting)
        self._waiting = [fault for fault in self._waiting if fault.id != fault_id]
        return len(self._waiting) < before

    def clear(self) -> None:
        """Forget every fault and ban."""
        self._waiting.clear()
        self.bans.clear()
        self.minimum_version = self.linking_version = ()
