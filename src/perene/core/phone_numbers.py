"""Phone numbers as people write them."""

import re

_PHONE = re.compile(r"\+?([1-9][0-9]{6,14})")  # E.164: at most 15 digits, the country's first


def phone_number(text: str) -> str:
    """Return the digits of a phone number; ValueError says what is expected."""
    if match := _PHONE.fullmatch(text):
        return match[1]
    raise ValueError("not a phone number: give 7 to 15 digits, the country code first")
