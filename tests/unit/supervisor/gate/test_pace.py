"""How fast sessions begin, and what is left for the ready."""

from collections.abc import Sequence

import pytest

from tests.unit.supervisor.gate.crowd import (
    crowd,
)


def most_in_a_second(times: Sequence[float]) -> int:
    return max(
        (sum(begin <= other < begin + 1 - 1e-6 for other in times) for begin in times), default=0
    )


@pytest.mark.parametrize("failures", [0, 1])
@pytest.mark.parametrize("rate", [0.5, 1, 3, 10, 200])
async def test_no_second_sees_more_beginnings_than_the_rate_nor_many_less(
    rate: float, failures: int
) -> None:
    async with crowd(at_once=10_000, per_second=rate) as sessions:
        total = max(3, int(rate * 3))
        for number in range(total):
            await sessions.come(str(number), failures, stays_s=0.01)
        await sessions.clock.advance(10)
        assert len(sessions.began) == total
        times = [at for _, at in sessions.began]
        assert most_in_a_second(times) <= max(1, rate)
        assert times[-1] <= total / rate * 1.2


async def test_the_rate_is_kept_even_if_all_end_at_once() -> None:
    async with crowd(per_second=1) as sessions:
        for name in "abc":
            await sessions.come(name, stays_s=0)
        await sessions.clock.advance(2)
        assert [at for _, at in sessions.began] == pytest.approx([0, 1, 2])


async def test_failing_sessions_leave_tokens_for_ready_ones() -> None:
    async with crowd(at_once=1000, per_second=200) as sessions:
        for number in range(100):
            await sessions.come(f"failing {number}", 1, stays_s=0)
        assert len(sessions.names) == 10
        for number in range(10):
            await sessions.come(f"ready {number}")
        assert sessions.names[10:] == [f"ready {number}" for number in range(10)]
        await sessions.clock.advance(1)
        assert len(sessions.names) == 110


@pytest.mark.parametrize("rate", [1, 10, 25, 200])
async def test_a_flood_of_failing_sessions_costs_a_ready_one_a_token_at_most(rate: float) -> None:
    async with crowd(at_once=50, per_second=rate) as sessions:
        for number in range(int(20 * rate)):
            await sessions.come(f"failing {number}", 1 + number % 5, stays_s=0)
        await sessions.clock.advance(5.03)
        came = sessions.clock.monotonic()
        await sessions.come("ready")
        await sessions.clock.advance(2)
        [began] = [at for name, at in sessions.began if name == "ready"]
        assert began - came <= (1 / rate + 0.002 if rate < 20 else 0)
        assert most_in_a_second([at for _, at in sessions.began]) <= rate
