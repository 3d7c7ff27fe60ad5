"""Raw attributes of the server without what must not be kept: numbers and tokens."""

import re
from collections.abc import Mapping

_NUMBER = re.compile(r"(?<![0-9A-Za-z.])(\+?[0-9]{4,11})([0-9]{4})(?![0-9A-Za-z])")
_KEPT = 200
_MOST = 32


def masked(attributes: Mapping[str, str]) -> dict[str, str]:
    """Return at most 32 attributes, each cut to 200 characters, numbers down to four digits.

    What looks like a date or duration (`expire`, `t`, `ts`) stays: it is what a person looks for.
    """
    kept = list(attributes.items())[:_MOST]
    return {
        name[:_KEPT]: value[:_KEPT]
        if name in ("expire", "t", "ts")
        else _NUMBER.sub(r"***\2", value[:_KEPT])
        for name, value in kept
    }
