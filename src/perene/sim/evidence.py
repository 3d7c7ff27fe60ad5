"""What the simulator saw: everything a test compares with what its client says.

Bodies appear here in the clear: they are made up, and comparing them is the point.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass, field

from perene.signal.errors import SignalError
from perene.signal.messages import parse_pre_key_message, parse_signal_message
from perene.signal.proto import whisper_pb2
from perene.sim.model import Device


@dataclass(slots=True, kw_only=True)
class DeviceCounters:
    """What happened to the stanzas of one device."""

    delivered: int = 0
    redelivered: int = 0
    answered: Counter[str] = field(default_factory=Counter[str])
    """By how: receipt, ack, nack, retry (an ack or nack after a retry receipt)."""
    retries_asked: int = 0
    answers_for_nothing: int = 0
    keys_reused: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message that was passed on to a device, for the first time."""

    chat: str
    sender: str
    id: str
    text: str | None
    """The text if a simulated party sent it, else None: the server cannot read it."""
    ciphertext_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReusedKey:
    """Two different ciphertexts under one message key: the gravest error a client can make."""

    sender: str
    recipient: str
    kind: str
    counter: int
    message_id: str


class Evidence:
    """Counters and lists, for the whole world and for each device."""

    def __init__(self) -> None:
        self.devices: dict[str, DeviceCounters] = {}
        self.deliveries: dict[str, list[Delivery]] = {}
        self.reused_keys: list[ReusedKey] = []
        self.unknown_iqs: Counter[str] = Counter()
        self.queries: Counter[str] = Counter()
        """Queries of all devices, by namespace."""
        self.events: Counter[str] = Counter()
        """Everything else worth counting, by name; see docs/how-to/simulator.md."""
        self._texts: dict[tuple[str, str], str] = {}
        self._ciphertexts: dict[tuple[str, str, str, int], bytes] = {}

    def of(self, device: Device) -> DeviceCounters:
        """Return the counters of a device."""
        counters = self.devices.get(device.name)
        if counters is None:
            counters = self.devices[device.name] = DeviceCounters()
        return counters

    def know_text(self, sender: Device, message_id: str, text: str) -> None:
        """Remember what a simulated party sent, so that deliveries can be told by text."""
        self._texts[sender.account.lid, message_id] = text

    def text(self, lid: str, message_id: str) -> str | None:
        """Return what a simulated party sent under this id."""
        return self._texts.get((lid, message_id))

    def record_delivery(self, device: Device, delivery: Delivery) -> None:
        """Add a message to the list of a device."""
        self.deliveries.setdefault(device.name, []).append(delivery)

    def check_key(
        self, sender: Device, recipient: str, kind: str, ciphertext: bytes, message_id: str
    ) -> None:
        """Notice a message key that encrypts a second, different plaintext.

        `recipient` is a device's name, or a group's address for `skmsg`. The same bytes again are
        a repetition, which is harmless.
        """
        key = _message_key(kind, ciphertext)
        if key is None:
            self.events["unreadable_ciphertexts"] += 1
            return
        chain, counter, inner = key
        digest = hashlib.sha256(inner).digest()
        known = self._ciphertexts.setdefault((sender.name, recipient, chain, counter), digest)
        if known != digest:
            self.of(sender).keys_reused += 1
            self.reused_keys.append(
                ReusedKey(
                    sender=sender.name,
                    recipient=recipient,
                    kind=kind,
                    counter=counter,
                    message_id=message_id,
                )
            )


def _message_key(kind: str, ciphertext: bytes) -> tuple[str, int, bytes] | None:
    """Return the name of the chain, the counter in it, and what the key encrypts."""
    try:
        if kind == "skmsg":
            # A version byte, the protobuf, a signature of 64 bytes.
            message = whisper_pb2.SenderKeyMessage.FromString(ciphertext[1:-64])
            return f"sender key {message.id}", message.iteration, message.ciphertext
        if kind == "pkmsg":
            ciphertext = parse_pre_key_message(ciphertext).message
        inner = parse_signal_message(ciphertext)
    except (SignalError, ValueError):
        return None
    return inner.ratchet_key.hex(), inner.counter, inner.ciphertext
