"""Phone numbers and LIDs of simulated people: the same seed gives the same ones."""

import hashlib

# +1 555 is not assigned to anybody; the numbers look real to clients and reach nobody.
_PREFIX = "1555"
_DIGITS = 7
_LID_DIGITS = 15


class Numbers:
    """Hands out phone numbers, and the LID that belongs to each."""

    def __init__(self, seed: int | None = None) -> None:
        """Two of the same seed agree; without a seed LIDs are those of seed 0."""
        self._seed = seed or 0
        self._last = 0

    def next(self) -> str:
        """Return a number that was not handed out before: 15550000001, 15550000002, …"""
        self._last += 1
        return f"{_PREFIX}{self._last:0{_DIGITS}d}"

    def of_name(self, name: str) -> str:
        """Return the number of whoever has this push name: always the same, far from `next`'s."""
        # Above 5,000,000, so that names and counted numbers do not meet.
        return f"{_PREFIX}{5_000_000 + self._draw('name', name) % 5_000_000}"

    def lid(self, phone: str) -> str:
        """Return the user part of a number's LID: 15 digits that do not show the number."""
        first = 10 ** (_LID_DIGITS - 1)
        return str(first + self._draw("lid", phone) % (9 * first))

    def _draw(self, what: str, text: str) -> int:
        digest = hashlib.sha256(f"{self._seed}/{what}/{text}".encode()).digest()
        return int.from_bytes(digest[:8])
