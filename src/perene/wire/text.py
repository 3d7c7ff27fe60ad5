"""Text in protobuf messages that is not quite text."""

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

    Call it on what was decrypted before anything reads it. Costs about a microsecond a field.
    """
    mended = 0
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_STRING:
            if field.is_repeated:
                for index, item in enumerate(value):
                    if isinstance(item, bytes):
                        value[index] = readable(item)
                        mended += 1
            elif isinstance(value, bytes):
                setattr(message, field.name, readable(value))
                mended += 1
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            mended += _mend_inside(field, value)
    return mended


def _mend_inside(field: FieldDescriptor, value: object) -> int:
    if isinstance(value, Message):
        return mend(value)
    return 0
