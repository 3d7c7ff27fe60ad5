"""What the demo shows: lines with the time since the start."""

import sys
import time
from collections.abc import Sequence


class Screen:
    """Writes to the terminal, each line as it happens."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._number = 0

    def step(self, title: str) -> None:
        """Begin another part."""
        self._number += 1
        self.write(f"\n{self._number}. {title}\n")

    def say(self, text: str) -> None:
        """Tell what has just happened."""
        self.write(f"{time.monotonic() - self._begun:6.2f} s  {text}\n")

    def talk(self, sender: str, recipient: str, text: str, outcome: str) -> None:
        """Tell of a message and what became of it."""
        self.say(f"{sender:>5} → {recipient:<5}  {text:<34}  {outcome}")

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Show a table: the first column names, the others count."""
        for row in (heads, *rows):
            first, *others = row
            self.write(f"          {first!s:<24}" + "".join(f"{cell!s:>10}" for cell in others))
            self.write("\n")

    def write(self, text: str) -> None:
        """Write text as it is."""
        sys.stdout.write(text)
        sys.stdout.flush()


def milliseconds(since: float) -> str:
    """Return the time since a moment of `time.monotonic`, for a reader."""
    return f"{(time.monotonic() - since) * 1000:.0f} ms"
