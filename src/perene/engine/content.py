"""What a decrypted `Message` is about: its kind, its text, and its fields for a reader."""

import re
from dataclasses import dataclass
from typing import Any, cast

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from perene.wire.proto import wa_pb2
from perene.wire.text import mend

_ENVELOPES = frozenset(
    field.name
    for field in wa_pb2.Message.DESCRIPTOR.fields
    if field.message_type is wa_pb2.Message.FutureProofMessage.DESCRIPTOR
)
"""Fields that wrap another Message. WhatsApp Web looks through nearly all of them (whatsapp-rust
wacore/src/send/classify.rs `unwrap_message`, 2026-08-21)."""

UNKNOWN = "unknown"
"""The kind of content that this Perene has no name for: it is kept, for a later one to read."""

_RIDERS = frozenset(("messageContextInfo", "senderKeyDistributionMessage"))
"""Fields that travel with any content and are none themselves."""

_TEXT_FIELDS = ("text", "caption", "contentText", "selectedDisplayText", "name", "displayName")

_SECRETS = frozenset(
    (
        "mediaKey",
        "messageSecret",
        "axolotlSenderKeyDistributionMessage",
        "appStateSyncKeyShare",
        "senderKeyDistributionMessage",
        "thumbnailEncKey",
    )
)
"""Fields with key material; they stay in the sealed body and are never shown."""

_MAX_ENVELOPES = 8


@dataclass(frozen=True, slots=True)
class Content:
    """`kind` is None when a message carries nothing for a reader (only riders)."""

    kind: str | None
    text: str | None


def parse_message(data: bytes) -> wa_pb2.Message | None:
    """Read a `Message`; None if the bytes are not one."""
    message = wa_pb2.Message()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return None
    # A truncated emoji must not cost the message, nor reach JSON as bytes.
    mend(message)
    return message


def describe(message: wa_pb2.Message) -> Content:
    """Name the content of a message, looking through the envelopes around it."""
    if message.HasField("conversation"):
        return Content("text", message.conversation)
    fields = _fields(message)
    is_wrapped = False
    for _ in range(_MAX_ENVELOPES):
        envelope = next((value for name, value in fields if name in _ENVELOPES), None)
        if envelope is None:
            break
        is_wrapped, fields = True, _fields(envelope.message)
    for name, value in fields:
        return Content(_kind(name, value), _text(value))
    # What a newer phone sends has fields that this schema does not list.
    is_content = is_wrapped or bool(len(UnknownFieldSet(message)))
    return Content(UNKNOWN if is_content else None, None)


def _fields(message: wa_pb2.Message) -> list[tuple[str, Any]]:
    """Return the content among a message's fields, by their numbers."""
    return [
        (field.name, value) for field, value in message.ListFields() if field.name not in _RIDERS
    ]


def readable_fields(body: bytes) -> dict[str, Any]:
    """Return the decoded fields of a stored body as JSON data, without key material."""
    message = parse_message(body)
    if message is None:
        return {}
    fields = MessageToDict(message, preserving_proto_field_name=True)
    return cast("dict[str, Any]", _without_secrets(fields))


def text_message(text: str) -> wa_pb2.Message:
    """Build the simplest message."""
    return wa_pb2.Message(conversation=text)


def _kind(field: str, value: Any) -> str:
    if field in ("conversation", "extendedTextMessage"):
        return "text"
    if field == "protocolMessage":
        types = wa_pb2.Message.ProtocolMessage.Type.DESCRIPTOR.values_by_number
        known = types.get(value.type)
        # The enum is open: a newer phone may send a type that this Perene has no name for.
        return known.name.lower() if known is not None else f"protocol_{value.type}"
    return re.sub(r"(?<!^)(?=[A-Z])", "_", field.removesuffix("Message")).lower()


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    descriptor = getattr(value, "DESCRIPTOR", None)
    if descriptor is None:
        return None
    for name in _TEXT_FIELDS:
        field = descriptor.fields_by_name.get(name)
        if field is not None and isinstance(getattr(value, name), str) and value.HasField(name):
            return getattr(value, name)
    return None


def _without_secrets(value: object) -> object:
    if isinstance(value, dict):
        entries = cast("dict[str, object]", value)
        return {
            name: _without_secrets(entry) for name, entry in entries.items() if name not in _SECRETS
        }
    if isinstance(value, list):
        return [_without_secrets(entry) for entry in cast("list[object]", value)]
    return value
