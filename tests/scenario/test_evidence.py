"""All that users are told of connections is true: compared with what really happened to them."""

import random
from pathlib import Path

import pytest

from perene.core.sessions import Connection as State
from tests.soak.plan import Plan
from tests.soak.run import run
from tests.support.onlooker import Onlookers
from tests.support.world import DESK, World


@pytest.mark.requirement("C2", "C16", "D8")
async def test_outages_events_metrics_health_and_alerts_tell_what_happened(
    tmp_path: Path, template: Path
) -> None:
    seed = random.Random().randrange(10**9)  # not that of the test order: every run is another
    plan = Plan(
        sessions=4,
        days=0.5,
        seed=seed,
        received_a_day=1,
        sent_a_day=1,
        troubles_a_day=15,
        disasters_a_day=10,
        looks_a_day=150,
    )
    outcome = await run(tmp_path, template, plan)
    assert outcome.problems == [], f"{plan}\n{outcome.troubles}"
    assert outcome.outages, plan
    assert outcome.looks > 10, plan


@pytest.mark.parametrize("ending", ["stopped", "killed"])
async def test_an_alert_that_fires_goes_on_over_a_restart_and_is_told_once(
    world: World, ending: str
) -> None:
    await world.user.pair()
    onlookers = Onlookers(world)
    await world.pass_time(60)
    await world.network.down()
    await world.pass_time(320)
    await (world.perene.stop() if ending == "stopped" else world.perene.kill())
    await world.pass_time(60)
    await world.perene.start()
    await world.pass_time(120)
    world.network.up()
    await world.pass_time(900, until=lambda: world.perene.state() is State.OPEN)
    await world.pass_time(180)
    told = [(one.rule, one.over) for one in onlookers.receiver.told if one.subject == DESK]
    assert told == [("session_down", False), ("session_down", True)]
    assert onlookers.now is not None
    (alert,) = (await onlookers.now.get(f"/v1/alerts?state=all&session={DESK}"))["items"]
    assert {one.id for one in onlookers.receiver.told if one.subject == DESK} == {alert["id"]}
    assert alert["began_at"] <= alert["fired_at"] < alert["resolved_at"]


async def test_nothing_more_is_told_of_a_session_that_was_deleted(world: World) -> None:
    await world.user.pair()
    onlookers = Onlookers(world)
    await world.network.down()
    await world.pass_time(320)
    assert onlookers.now is not None
    await world.perene.sessions.delete(DESK)
    await world.pass_time(60)
    told = [(one.rule, one.over) for one in onlookers.receiver.told if one.subject == DESK]
    assert told == [("session_down", False), ("session_down", True)]
    await world.perene.restart()
    await world.pass_time(1200)
    assert len([one for one in onlookers.receiver.told if one.subject == DESK]) == len(told)
    assert (await onlookers.now.get("/v1/alerts"))["items"] == []
    sample = await onlookers.now.sample()
    assert sum(n for name, n in sample.items() if name.startswith("perene_sessions|")) == 0
    firing = {name for name, n in sample.items() if name.startswith("perene_alerts_") and n}
    assert firing == set()
