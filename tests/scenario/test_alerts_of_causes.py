"""A trouble that lasts is told once, by the rule that says most of it."""

from collections.abc import Callable

import pytest

from perene.core.sessions import Connection as State
from tests.support.onlooker import Onlookers
from tests.support.world import DESK, World

HOUR_S = 3600.0

Trouble = Callable[[World, str], None]


def refused(reason: int) -> Trouble:
    def begin(world: World, phone: str) -> None:
        world.simulator.add_fault("refuse_login", phone=phone, reason=reason, count=1000)
        world.simulator.disconnect(phone)

    return begin


def replaced(world: World, phone: str) -> None:
    world.simulator.disconnect(phone, "replaced")


def unlinked(world: World, phone: str) -> None:
    world.simulator.disconnect(phone, "stream_error", 516)


def outdated(world: World, phone: str) -> None:
    world.simulator.require_version((2, 9999, 1))
    world.simulator.disconnect(phone)


def restarted(world: World, phone: str) -> None:
    world.simulator.add_fault("refuse_login", phone=phone, how="stream_error", code=515, count=1000)
    world.simulator.disconnect(phone)


def told(onlookers: Onlookers) -> list[tuple[str, bool]]:
    """Return what was told of the session: the rule, and whether it was over."""
    return [(one.rule, one.over) for one in onlookers.receiver.told if one.subject == DESK]


async def locked_out(world: World) -> Onlookers:
    """Have an account locked for ten minutes, and return who has watched it."""
    phone = await world.user.pair()
    onlookers = Onlookers(world)
    await world.pass_time(60)
    world.simulator.add_fault("refuse_login", phone=phone, reason=403)
    world.simulator.disconnect(phone)
    await world.pass_time(600)
    return onlookers


@pytest.mark.parametrize(
    ("trouble", "state", "rule"),
    [
        pytest.param(refused(401), State.WAITING, "session_needs_pairing", id="401"),
        pytest.param(refused(402), State.WAITING, "session_banned", id="402"),
        pytest.param(refused(403), State.NEEDS_ATTENTION, "session_locked", id="403"),
        pytest.param(refused(406), State.NEEDS_ATTENTION, "session_banned", id="406"),
        pytest.param(refused(409), State.NEEDS_ATTENTION, "session_needs_attention", id="409"),
        pytest.param(refused(415), State.NEEDS_ATTENTION, "session_needs_attention", id="415"),
        pytest.param(refused(999), State.NEEDS_ATTENTION, "session_needs_attention", id="999"),
        pytest.param(outdated, State.WAITING, "session_outdated", id="405"),
        pytest.param(unlinked, State.WAITING, "session_needs_pairing", id="516"),
        pytest.param(replaced, State.NEEDS_ATTENTION, "session_replaced", id="replaced"),
    ],
)
async def test_one_trouble_is_one_alert(
    world: World, trouble: Trouble, state: State, rule: str
) -> None:
    phone = await world.user.pair()
    onlookers = Onlookers(world)
    await world.pass_time(60)
    trouble(world, phone)
    await world.pass_time(2 * HOUR_S)
    assert world.perene.state() is state
    assert told(onlookers) == [(rule, False)]
    assert len(onlookers.receiver.told) == 1, "one session says nothing of the service"
    assert onlookers.now is not None
    kept = (await onlookers.now.get(f"/v1/alerts?state=all&session={DESK}"))["items"]
    assert [alert["rule"] for alert in kept] == [rule]


async def test_an_outage_that_goes_on_is_told_again_only_as_it_gets_worse(world: World) -> None:
    phone = await world.user.pair()
    onlookers = Onlookers(world)
    await world.pass_time(60)
    restarted(world, phone)
    await world.pass_time(6 * HOUR_S)
    stages = [
        "session_down",
        "session_restarts",
        "session_down_long",
        "session_attempts",
        "session_needs_pairing",
    ]
    assert [rule for rule, over in told(onlookers) if not over] == stages
    # The credentials were set aside: what is left is that the device has to be linked.
    assert {rule for rule, over in told(onlookers) if over} == set(stages[:-1])


async def test_the_general_rule_takes_over_from_the_one_that_said_more(world: World) -> None:
    onlookers = await locked_out(world)
    await world.perene.sessions.start(DESK)
    await world.pass_time(120)
    assert told(onlookers) == [
        ("session_locked", False),
        ("session_locked", True),
        ("session_needs_pairing", False),
    ]
    assert onlookers.now is not None
    pairing, locked = (await onlookers.now.get(f"/v1/alerts?state=all&session={DESK}"))["items"]
    assert pairing["began_at"] == locked["began_at"], "it was so all the time"
    assert pairing["fired_at"] == locked["resolved_at"]


async def test_what_was_held_back_stays_so_over_a_restart(world: World) -> None:
    onlookers = await locked_out(world)
    await world.perene.restart()
    await world.pass_time(HOUR_S)
    assert told(onlookers) == [("session_locked", False)]
    await world.perene.sessions.start(DESK)
    await world.pass_time(120)
    assert told(onlookers)[1:] == [("session_locked", True), ("session_needs_pairing", False)]
    assert onlookers.now is not None
    pairing, locked = (await onlookers.now.get(f"/v1/alerts?state=all&session={DESK}"))["items"]
    assert pairing["began_at"] == locked["began_at"], "it was so all the time"
