"""The waits between attempts: how they grow, how they are said, and how they are written down."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Growth(StrEnum):
    """How the waits of a schedule grow."""

    FIBONACCI = "fibonacci"
    """First, first, twice, three times, five times … (docs/reference/protocol.md §1.9)."""
    LINEAR = "linear"
    """Nothing, then once, twice, three times … the step (requirement D4)."""
    FIXED = "fixed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The waits between attempts. All but linear ones vary by 10 % either way."""

    growth: Growth
    step: timedelta
    cap: timedelta = timedelta(hours=24)
    skip: int = 0

    def wait(self, earlier: int, jitter: float) -> timedelta:
        """Return the wait after `earlier` waits in a row; `jitter` is a number from 0 to 1."""
        match self.growth:
            case Growth.LINEAR:
                return min(self.step * (earlier + self.skip), self.cap)
            case Growth.FIXED:
                return self.step * (0.9 + 0.2 * jitter)
            case Growth.FIBONACCI:
                one, two = 1, 1
                for _ in range(min(earlier + self.skip, 60)):
                    one, two = two, one + two
                times = min(one, self.cap / self.step)
                return self.step * times * (0.9 + 0.2 * jitter)

    def describe(self) -> str:
        """Say the schedule to a person."""
        step, cap = _spoken(self.step), _spoken(self.cap)
        match self.growth:
            case Growth.LINEAR:
                return f"at once, then {step} more each time, at most {cap}"
            case Growth.FIXED:
                return f"every {step}, ±10 %"
            case Growth.FIBONACCI:
                first = _spoken(self.wait(0, 0.5))
                return f"{first}, growing (Fibonacci) to {cap}, ±10 %"

    @classmethod
    def parse(cls, text: str) -> "Schedule":
        """Read "fibonacci:1..900", "linear:300" or "fixed:60" (seconds); raises ValueError."""
        growth, _, rest = text.partition(":")
        step, _, cap = rest.partition("..")
        try:
            grown = Growth(growth.strip().lower())
            seconds = float(step)
            longest = float(cap) if cap else 86_400.0
        except ValueError as error:
            raise ValueError("give fibonacci:1..900, linear:300 or fixed:60, in seconds") from error
        if not 1 <= seconds <= longest <= 7 * 86_400:
            raise ValueError("a step is from 1 second up to its cap, a cap at most seven days")
        return cls(growth=grown, step=timedelta(seconds=seconds), cap=timedelta(seconds=longest))


def _spoken(time: timedelta) -> str:
    seconds = time.total_seconds()
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
