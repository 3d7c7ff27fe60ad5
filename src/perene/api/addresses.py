"""Who a message goes to, as people write it: a phone number or a JID."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from perene.core.phone_numbers import phone_number

_USER = re.compile(r"([1-9][0-9]{6,14})@(?:s\.whatsapp\.net|c\.us)")
_LID = re.compile(r"[1-9][0-9]{0,19}@lid")
_GROUP = re.compile(r"[0-9]{5,20}(?:-[0-9]{5,20})?@g\.us")
_OTHER = re.compile(r"[0-9a-z._-]{1,64}@(?:broadcast|newsletter|bot|hosted|hosted\.lid|call)")

_FORMS = "digits with country code, or a JID that ends in @s.whatsapp.net, @lid or @g.us"


def recipient(text: str) -> str:
    """Return the bare JID of a person or group; ValueError says what is expected.

    A phone number may begin with "+"; `@c.us`, which other programs use, is understood too.
    """
    if match := _USER.fullmatch(text):
        return f"{match[1]}@s.whatsapp.net"
    if _LID.fullmatch(text) or _GROUP.fullmatch(text):
        return text
    if ":" in text.partition("@")[0]:
        raise ValueError("name the person, not a device: leave out the colon and what follows it")
    try:
        return f"{phone_number(text)}@s.whatsapp.net"
    except ValueError:
        raise ValueError(f"not an address: give {_FORMS}") from None


def chat(text: str) -> str:
    """Return the bare JID of any chat; as `recipient`, and channels and broadcasts besides."""
    return text if _OTHER.fullmatch(text) else recipient(text)


Recipient = Annotated[
    str,
    Field(max_length=128, description=f"Who to write to: {_FORMS}.", examples=["5511999990000"]),
    AfterValidator(recipient),
]
Chat = Annotated[
    str,
    Field(max_length=128, description="Only this chat: a phone number or a JID."),
    AfterValidator(chat),
]
PhoneNumber = Annotated[
    str,
    Field(max_length=32, description="Digits with country code.", examples=["5511999990000"]),
    AfterValidator(phone_number),
]
