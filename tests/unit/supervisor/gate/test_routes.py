"""Each way to WhatsApp has places of its own."""

from tests.unit.supervisor.gate.crowd import (
    crowd,
)


async def test_what_is_stuck_on_one_route_takes_no_place_of_another() -> None:
    async with crowd(at_once=2) as sessions:
        for number in range(5):
            await sessions.come(f"by the proxy {number}", route="http://proxy")
        await sessions.come("direct")
        assert sessions.names == ["by the proxy 0", "by the proxy 1", "direct"]


async def test_each_route_has_its_own_idea_of_what_is_slow() -> None:
    async with crowd(at_once=1, hold_s=5) as sessions:
        await sessions.come("keeps the proxy in use", route="proxy")
        await sessions.log_in(5, seconds=0.1)
        await sessions.log_in(0, seconds=0)
        await sessions.clock.advance(5)
        await sessions.come("by the proxy", route="proxy")
        await sessions.come("direct")
        await sessions.come("by the proxy, next", route="proxy")
        await sessions.come("direct, next")
        await sessions.clock.advance(1)
        assert sessions.names == ["by the proxy", "direct", "direct, next"]
        await sessions.clock.advance(4)
        assert sessions.names[3:] == ["by the proxy, next"]


async def test_all_routes_together_keep_to_four_times_the_places() -> None:
    async with crowd(at_once=2) as sessions:
        for number in range(30):
            await sessions.come(f"{number}", number % 2, route=f"proxy {number}")
        assert sessions.gate.inside == sessions.gate.most
        ready = [name for name in sessions.names if not int(name) % 2]
        assert len(ready) >= 2


async def test_a_proxy_that_nobody_uses_any_more_is_forgotten() -> None:
    async with crowd() as sessions:
        for number in range(30):
            await sessions.come(f"{number}", stays_s=1, route=f"proxy {number}")
        assert sessions.gate.routes == 30
        await sessions.clock.advance(30)
        assert sessions.gate.routes <= 1


async def test_whoever_is_late_to_notice_its_end_forgets_no_proxy_of_others() -> None:
    async with crowd() as sessions:
        await sessions.come("inside", route="proxy")
        await sessions.come("waits", route="proxy")
        sessions.tasks["inside"].cancel()
        sessions.tasks["waits"].cancel()
        await sessions.come("later", route="proxy")
        await sessions.come("later still", route="proxy")
        assert (sessions.gate.inside, sessions.gate.waiting) == (1, 1)
        await sessions.leave("later")
        assert sessions.names[-1] == "later still"


async def test_a_proxy_is_known_as_long_as_somebody_is_inside_by_it() -> None:
    async with crowd(at_once=2) as sessions:
        for name in ("first", "second"):
            await sessions.come(name, route="proxy")
        await sessions.leave("first")
        for name in ("third", "fourth"):
            await sessions.come(name, route="proxy")
        assert sessions.names == ["first", "second", "third"], "it has two places, not two more"
