"""Phone numbers cut down to what a person needs to tell them apart: the last four digits."""

import re
from collections.abc import Mapping

_NUMBER = re.compile(r"(?<![0-9A-Za-z.])(\+?[0-9]{4,11})([0-9]{4})(?![0-9A-Za-z])")
"""8 to 15 digits on their own: a phone number, alone, in a JID or in a Signal address."""

_KEPT = 200
_MOST = 32


def mask_numbers(text: str) -> str:
    """Return a text in which each number of 8 to 15 digits is cut down to the last four."""
    return _NUMBER.sub(r"***\2", text)


def masked(attributes: Mapping[str, str]) -> dict[str, str]:
    """Return raw attributes of the server as they may be kept: at most 32, numbers masked.

    Each is cut to 200 characters. What looks like a date or duration (`expire`, `t`, `ts`) stays:
    it is what a person looks for.
    """
    kept = list(attributes.items())[:_MOST]
    return {
        name[:_KEPT]: value[:_KEPT]
        if name in ("expire", "t", "ts")
        else mask_numbers(value[:_KEPT])
        for name, value in kept
    }
