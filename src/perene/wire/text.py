"""Text in protobuf messages that is not quite text."""

from collections.abc import Iterable, MutableMapping, MutableSequence
from typing import cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message


def readable(value: str | bytes) -> str:
    """Return the text of a protobuf string field, with U+FFFD where it is not UTF-8.

    Other clients cut previews and names inside a character. `wa.proto` accepts such strings so
    that the message around them is not lost; they read as bytes, whatever the type says.
    """
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def mend(message: Message) -> int:
    """Make every text inside a message readable, in place; return how many were not.

    Call it on what was decrypted before anything reads it. Costs a few microseconds.
    """
    mended = 0
    for field, value in message.ListFields():
        if field.message_type is not None:
            if field.message_type.GetOptions().map_entry:
                mended += _mend_map(cast("MutableMapping[object, object]", value))
            else:
                parts = value if field.is_repeated else (value,)
                mended += sum(mend(part) for part in cast("Iterable[Message]", parts))
        elif field.type == FieldDescriptor.TYPE_STRING:
            if field.is_repeated:
                mended += _mend_items(cast("MutableSequence[str | bytes]", value))
            elif isinstance(value, bytes):
                setattr(message, field.name, readable(value))
                mended += 1
    return mended


def _mend_items(items: MutableSequence[str | bytes]) -> int:
    mended = 0
    for index, item in enumerate(items):
        if isinstance(item, bytes):
            items[index] = readable(item)
            mended += 1
    return mended


def _mend_map(entries: MutableMapping[object, object]) -> int:
    # The only map in wa.proto goes from text to text.
    broken = {key: value for key, value in entries.items() if isinstance(value, bytes)}
    for key, value in broken.items():
        entries[key] = readable(value)
    return len(broken)
