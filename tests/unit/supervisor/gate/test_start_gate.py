"""In what order sessions begin to log in, and how many at once."""

import asyncio

import pytest

from perene.supervisor.gate.start_gate import StartGate
from tests.support.virtual_clock import VirtualClock
from tests.unit.supervisor.gate.crowd import (
    READY,
    crowd,
    settle,
)


async def test_a_free_gate_lets_in_without_a_turn_of_the_event_loop() -> None:
    gate = StartGate(VirtualClock(), at_once=1, per_second=1)
    waited = asyncio.create_task(asyncio.sleep(0))
    async with gate.turn(READY):
        assert not waited.done()
    await waited


@pytest.mark.parametrize("priority", [0, 3])
async def test_whoever_leaves_gives_the_place_back(priority: int) -> None:
    async with crowd() as sessions:
        for number in range(20):
            await sessions.come(f"s{number}", priority)
            await sessions.leave(f"s{number}")
        assert sessions.names == [f"s{number}" for number in range(20)]


async def test_no_more_are_inside_than_the_limit() -> None:
    async with crowd(at_once=2) as sessions:
        for name in "abc":
            await sessions.come(name)
        assert (sessions.names, sessions.gate.waiting) == (["a", "b"], 1)
        await sessions.leave("a")
        assert (sessions.names, sessions.gate.waiting) == (["a", "b", "c"], 0)


async def test_a_session_without_failures_goes_before_those_that_failed() -> None:
    async with crowd() as sessions:
        await sessions.come("holder")
        await sessions.come("failed often", 9)
        await sessions.come("failed once", 1)
        await sessions.come("ready")
        await sessions.come("ready, later")
        for name in ("holder", "ready", "ready, later", "failed once"):
            await sessions.leave(name)
        assert sessions.names[1:] == ["ready", "ready, later", "failed once", "failed often"]


async def test_sessions_that_fail_never_hold_every_place() -> None:
    async with crowd(at_once=5) as sessions:
        for number in range(9):
            await sessions.come(f"failing {number}", 3)
        assert len(sessions.names) == 4
        await sessions.come("ready")
        assert sessions.names[-1] == "ready"


async def test_a_turn_that_is_left_early_is_free_for_the_next_one() -> None:
    async with crowd() as sessions, sessions.gate.turn(READY) as turn:
        await sessions.come("next")
        assert sessions.names == []
        turn.leave()
        turn.leave()
        await settle()
        assert sessions.names == ["next"]


async def test_one_that_gives_up_waiting_is_passed_over() -> None:
    async with crowd() as sessions:
        for name in ("holder", "gone", "next"):
            await sessions.come(name)
        await sessions.give_up("gone")
        await sessions.leave("holder")
        assert sessions.names == ["holder", "next"]


async def test_one_that_gives_up_in_the_moment_in_which_a_place_is_free_is_passed_over() -> None:
    async with crowd() as sessions:
        for name in ("holder", "gone", "next"):
            await sessions.come(name)
        sessions.tasks["holder"].cancel()
        await sessions.give_up("gone")
        assert sessions.names == ["holder", "next"]
        assert sessions.tasks["holder"].cancelled()


async def test_one_that_is_cancelled_inside_frees_its_place() -> None:
    async with crowd() as sessions:
        await sessions.come("holder")
        await sessions.come("next")
        await sessions.give_up("holder")
        assert sessions.names == ["holder", "next"]
        assert sessions.tasks["holder"].cancelled(), "whoever cancelled it is obeyed"


async def test_a_turn_that_is_given_and_cancelled_in_the_same_moment_is_not_lost() -> None:
    async with crowd() as sessions:
        for name in ("holder", "unlucky", "next"):
            await sessions.come(name)
        sessions.tasks["holder"].cancel()
        await asyncio.sleep(0)  # the turn is given to the second, which has not run since
        sessions.tasks["unlucky"].cancel()
        await settle()
        assert sessions.names == ["holder", "next"]


async def test_nobody_who_waits_leaves_no_sleeper_behind() -> None:
    async with crowd() as sessions:
        await sessions.come("holder")
        await sessions.come("gone")
        await sessions.give_up("gone")
        assert sessions.clock.asleep == []


async def test_a_ready_session_does_not_wait_for_failing_ones_even_at_a_single_place() -> None:
    async with crowd(at_once=1) as sessions:
        for number in range(9):
            await sessions.come(f"failing {number}", 1)
        assert len(sessions.names) == 1
        await sessions.come("ready")
        assert sessions.names == ["failing 0", "ready"]


async def test_turns_are_ordered_by_failures_then_by_arrival() -> None:
    async with crowd() as sessions:
        await sessions.come("holder")
        for number, failures in enumerate([2, 0, 1, 0]):
            await sessions.come(f"{number}", failures)
        for name in ("holder", "1", "3", "2"):
            await sessions.leave(name)
        assert sessions.names == ["holder", "1", "3", "2", "0"]
