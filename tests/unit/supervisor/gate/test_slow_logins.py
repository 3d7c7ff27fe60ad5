"""What is slow, how that is learned, and the places that slow ones lend."""

import pytest

from tests.unit.supervisor.gate.crowd import (
    crowd,
)


async def test_one_that_is_slow_holds_its_place_for_a_limited_time() -> None:
    async with crowd(hold_s=15) as sessions:
        await sessions.come("slow")
        await sessions.come("next")
        await sessions.clock.advance(14.9)
        assert sessions.names == ["slow"]
        await sessions.clock.advance(0.1)
        assert sessions.began == [("slow", 0.0), ("next", 15.0)]


@pytest.mark.parametrize(
    ("logins", "seconds", "slow_s"),
    [(5, 0.01, 1.0), (5, 0.5, 1.5), (5, 2, 5.0), (4, 0.5, 5.0), (0, 0, 5.0)],
    ids=["quick", "usual", "slow", "too few to tell", "none"],
)
async def test_what_is_slow_depends_on_how_long_logins_take_at_present(
    logins: int, seconds: float, slow_s: float
) -> None:
    async with crowd(hold_s=5) as sessions:
        await sessions.log_in(logins, seconds=seconds)
        await sessions.come("stuck")
        await sessions.come("next")
        await sessions.clock.advance(10)
        (_, stuck), (_, following) = sessions.began
        assert following - stuck == pytest.approx(slow_s, abs=0.002)


async def test_an_odd_one_among_ten_logins_does_not_count() -> None:
    async with crowd(hold_s=5) as sessions:
        await sessions.log_in(8, seconds=0.5)
        await sessions.log_in(1, seconds=4)
        await sessions.log_in(1, seconds=0.4)
        await sessions.come("stuck")
        await sessions.come("next")
        await sessions.clock.advance(1.501)
        assert sessions.names == ["stuck", "next"]


async def test_attempts_that_fail_teach_nothing_of_how_long_a_login_takes() -> None:
    async with crowd(hold_s=5) as sessions:
        for number in range(20):
            await sessions.come(f"failed at once {number}", stays_s=0.01)
        await sessions.clock.advance(1)
        sessions.began.clear()
        await sessions.come("stuck")
        await sessions.come("next")
        await sessions.clock.advance(4.9)
        assert sessions.names == ["stuck"]


async def test_if_logins_become_slow_they_are_waited_for() -> None:
    async with crowd(hold_s=5) as sessions:
        await sessions.log_in(50, seconds=0.1)
        await sessions.log_in(50, seconds=1.2)
        await sessions.come("first")
        await sessions.come("next")
        await sessions.clock.advance(3.5)
        assert sessions.names == ["first"]


async def test_the_end_of_a_turn_that_ran_out_takes_nobody_elses_place() -> None:
    async with crowd(hold_s=15) as sessions:
        for name in ("stuck", "second", "third"):
            await sessions.come(name)
        await sessions.clock.advance(15)
        await sessions.leave("stuck")
        assert sessions.names == ["stuck", "second"]
