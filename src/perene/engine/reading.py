"""Reading the ciphertexts of one message: what came out of all of them together."""

from collections.abc import Sequence
from dataclasses import dataclass

from perene.engine.addresses import signal_address
from perene.engine.content import UNKNOWN, describe, parse_message
from perene.engine.credentials import Credentials
from perene.engine.decrypt import open_enc
from perene.engine.draft import Draft
from perene.engine.incoming import Incoming
from perene.signal.errors import DuplicateMessage, SignalError
from perene.signal.sender_key import process_distribution
from perene.wire.node import Node
from perene.wire.proto import wa_pb2

_DIRECT = ("pkmsg", "msg")
READABLE = (*_DIRECT, "skmsg")
"""The kinds of `<enc>` that a resend can help with; others need what we do not have."""


@dataclass(slots=True)
class Reading:
    """What the parts of a message came to; the draft holds the state that they advanced.

    `content` is the part that tells a reader most, or any part that was read; `kind` is what it is
    about, and `body` are its bytes. `failure` is the first refusal; `malformed` says that a part
    decrypted to something that is no message. With none of these, every part was read before.
    """

    content: wa_pb2.Message | None = None
    body: bytes = b""
    kind: str | None = None
    failure: SignalError | None = None
    new_identity: bool = False
    malformed: bool = False

    @property
    def is_understood(self) -> bool:
        """True if there is something for a reader whatever else failed.

        What has no name here may be no more than something that travels with a group's key.
        """
        return self.kind not in (None, UNKNOWN)

    def take(self, message: wa_pb2.Message, body: bytes) -> None:
        """Take a part that was read, if it tells a reader as much as what there is."""
        kind = describe(_inner(message)).kind
        if _weight(kind) >= _weight(self.kind):
            self.content, self.body, self.kind = message, body, kind


def _weight(kind: str | None) -> int:
    return 0 if kind is None else 1 if kind == UNKNOWN else 2


async def read_parts(
    draft: Draft, incoming: Incoming, encs: Sequence[Node], own: Credentials
) -> Reading:
    """Decrypt every part, staging what each advances; a part that fails changes nothing.

    One that is no message does not cost those beside it (whatsmeow message.go `decryptMessages`,
    2026-08-21).
    """
    reading = Reading()
    # Direct parts first: they carry the sender key that the group part needs
    # (docs/reference/protocol.md §4.1).
    for enc in sorted(encs, key=lambda enc: enc.attrs.get("type") not in _DIRECT):
        try:
            opened = await open_enc(
                draft, enc, sender=incoming.sender, group=incoming.group, own=own
            )
        except DuplicateMessage:
            continue
        except SignalError as error:
            # A failed direct part explains the failure of the group part behind it.
            reading.failure = reading.failure or error
            continue
        reading.new_identity |= opened.new_identity
        message = parse_message(opened.plaintext)
        if message is None:
            reading.malformed = True
            continue
        inner = _inner(message)
        # A phone that sends to a group again tells its companions of the key in the copy (whatsmeow
        # message.go `handleDecryptedMessage`, 2026-08-21; zapo src/retry/replay.ts, 2026-08-19).
        for teller in (message,) if inner is message else (message, inner):
            if teller.HasField("senderKeyDistributionMessage"):
                await _take_sender_key(teller.senderKeyDistributionMessage, incoming, draft)
        reading.take(message, opened.plaintext)
    return reading


def _inner(message: wa_pb2.Message) -> wa_pb2.Message:
    """Return what is in the copy of an own message, or the message itself."""
    sent = message.deviceSentMessage
    return sent.message if message.HasField("deviceSentMessage") else message


async def _take_sender_key(
    distribution: wa_pb2.Message.SenderKeyDistributionMessage, incoming: Incoming, draft: Draft
) -> None:
    group = incoming.group
    if group is None:
        # A key is for the group that it came in; anywhere else it would only fill the store.
        return
    address = signal_address(incoming.sender)
    record = await draft.sender_key(group, address)
    try:
        record = process_distribution(record, distribution.axolotlSenderKeyDistributionMessage)
    except SignalError:
        # The content beside it is readable all the same; what is encrypted with the key will
        # fail on its own, and ask for the key then.
        return
    draft.set_sender_key(group, address, record)
