"""What a process has told us so far, and waiting for more of it without ever sleeping."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Generous: the machine may be busy, and a wait that is met ends at once.
PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One event. `number` counts from 1 in the order in which events happened."""

    number: int
    kind: str
    facts: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.facts[name]


class Record:
    """The events of one source, in order.

    A wait looks at what was recorded after `since` first and then at what comes, so nothing is
    missed between two lines of a test. A wait that is not met fails with what did happen, and with
    what `explain` has to say.
    """

    def __init__(self, name: str, explain: Callable[[], str] = str) -> None:
        self.name = name
        self.occurrences: list[Occurrence] = []
        self._explain = explain
        self._changed = asyncio.Condition()

    @property
    def now(self) -> int:
        """The number of the last event so far, to wait for what comes after it."""
        return len(self.occurrences)

    async def add(self, kind: str, facts: Mapping[str, Any]) -> None:
        """Record one event and wake those who wait."""
        async with self._changed:
            one = Occurrence(number=self.now + 1, kind=kind, facts=facts)
            self.occurrences.append(one)
            self._changed.notify_all()

    def seen(self, kind: str, *, since: int = 0, **facts: object) -> Sequence[Occurrence]:
        """Return the events of a kind with these facts after `since`, in order."""
        return [
            one
            for one in self.occurrences[since:]
            if one.kind == kind and all(one.facts.get(key) == fact for key, fact in facts.items())
        ]

    async def wait(self, kind: str, *, since: int = 0, **facts: object) -> Occurrence:
        """Return the first event of a kind with these facts after `since`."""
        return (await self.wait_many(kind, 1, since=since, **facts))[0]

    async def wait_many(
        self, kind: str, count: int, *, since: int = 0, **facts: object
    ) -> Sequence[Occurrence]:
        """Return the events of a kind with these facts after `since`, once there are `count`."""
        await self.until(
            lambda: len(self.seen(kind, since=since, **facts)) >= count,
            f"{count} x {kind} {facts or ''} after event {since}",
        )
        return self.seen(kind, since=since, **facts)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Return once a condition on the events holds; AssertionError when it stays false."""
        try:
            async with asyncio.timeout(PATIENCE_S), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            recent = "\n".join(
                f"  {one.number} {one.kind} {one.facts}" for one in self.occurrences[-30:]
            )
            raise AssertionError(
                f"{self.name} waited for {what}. The last events:\n{recent}\n{self._explain()}"
            ) from None
