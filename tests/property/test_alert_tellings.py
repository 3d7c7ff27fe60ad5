"""Whatever fails and whenever the service restarts, each receiver ends up knowing what is so."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from perene.core.alerts import Alert
from perene.supervisor.alerts.alerting import Alerting
from perene.supervisor.alerts.tellings import NotTold
from tests.support.virtual_clock import VirtualClock
from tests.unit.supervisor.alerts.desk import HOT, Shelf

Told = tuple[str, bool]
"""An alert's id, and whether it was told as resolved."""


@dataclass
class Receiver:
    """Remembers what it was told; can be out of reach."""

    name: str
    told: Counter[Told]
    away: bool = False

    async def tell(
        self, alerts: Sequence[Alert], *, remedy: str, reasons: Mapping[str, str]
    ) -> None:
        if self.away:
            raise NotTold("away")
        self.told.update((alert.id, alert.resolved_at is not None) for alert in alerts)


Step = tuple[Literal["heat", "receiver", "database", "restart", "clock"], int]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("heat"), st.integers(0, 2)),
        st.tuples(st.just("receiver"), st.integers(0, 1)),
        st.tuples(st.just("database"), st.just(0)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("clock"), st.integers(-1800, 1800)),
    ),
    max_size=40,
)


class Play:
    """A service with two receivers and three sessions that are hot or not."""

    def __init__(self) -> None:
        self.clock, self.shelf = VirtualClock(), Shelf()
        self.receivers = [Receiver("one", Counter()), Receiver("two", Counter())]
        self.hot = [False, False, False]
        self.crashed = False
        self.jumps = 0
        self.alerting = self._new()

    def _new(self) -> Alerting:
        return Alerting(
            store=self.shelf,
            notifiers=self.receivers,
            rules=[HOT],
            signals=lambda: {
                f"s{number}": {"heat": 11.0 * hot} for number, hot in enumerate(self.hot)
            },
            clock=self.clock,
        )

    async def take(self, step: Step) -> None:
        match step:
            case "heat", number:
                self.hot[number] = not self.hot[number]
            case "receiver", number:
                self.receivers[number].away = not self.receivers[number].away
            case "database", _:
                self.shelf.failing = not self.shelf.failing
            case "restart", _:
                await self.alerting.save()
                self.crashed |= self.shelf.failing
                self.alerting = self._new()
            case "clock", seconds:
                self.jumps += 1
                # No two moments are ever the same, which would make two alerts the same.
                self.clock.jump(seconds + self.jumps / 1000)
        await self.look()

    async def look(self) -> None:
        await self.clock.advance(10)
        await self.alerting.look()


async def play(row: list[Step]) -> Play:
    played = Play()
    for step in row:
        await played.take(step)
    played.shelf.failing = False
    played.hot = [False, False, False]
    for receiver in played.receivers:
        receiver.away = False
    await played.look()
    await played.clock.advance(900)
    await played.look()
    return played


@given(steps)
def test_whoever_was_told_of_an_alert_is_told_that_it_is_over(row: list[Step]) -> None:
    played = asyncio.run(play(row))
    assert all(alert.resolved_at is not None for alert in played.shelf.alerts.values())
    if played.crashed:
        return  # what the database did not take, nobody knows after a restart
    for receiver in played.receivers:
        fired = {alert for alert, over in receiver.told if not over}
        assert fired <= {alert for alert, over in receiver.told if over}
        assert set(receiver.told.values()) <= {1}, "nobody is told twice"
