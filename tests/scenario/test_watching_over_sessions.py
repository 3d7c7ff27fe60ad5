"""What watches over sessions while nobody looks: heartbeat, monitor, and the lines they leave."""

from contextlib import AbstractAsyncContextManager
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from perene.core.sessions import Connection as State
from tests.support.record import PATIENCE_S
from tests.support.world import DESK, World


@pytest.mark.requirement("C2")
async def test_an_idle_connection_proves_every_fifteen_seconds_that_it_lives(
    world: World,
) -> None:
    await world.user.pair()
    await world.settled()
    proofs = set[object]()
    for _ in range(40):
        await world.pass_time(15)
        shown = (await world.perene.sessions.session(DESK)).alive_at
        assert shown is not None
        assert world.clock.now() - shown <= timedelta(seconds=15)
        proofs.add(shown)
    assert len(proofs) == 40


@pytest.mark.requirement("C3")
async def test_a_session_whose_own_timer_is_lost_is_found_by_the_monitor_and_reconnected(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = await world.user.pair()
    await world.pass_time(60)
    logins = world.simulator.evidence.events["logins"]
    limit = world.clock.limit
    lost = list[float]()

    def forgetful(seconds: float) -> AbstractAsyncContextManager[None]:
        down = world.perene.state() is State.WAITING
        task = world.perene.supervisor.roster.task(DESK)
        if down and not lost and 0 <= task.overdue_s < 1 and 0 < seconds < 5:
            lost.append(seconds)
            seconds += 1e6
        return limit(seconds)

    monkeypatch.setattr(world.clock, "limit", forgetful)
    world.simulator.disconnect(phone, "failure", 503)
    await world.pass_time(120, until=lambda: world.perene.state() is State.OPEN)
    assert len(lost) == 1, "the wait for the next attempt was not lost"
    assert world.perene.state() is State.OPEN
    assert world.simulator.evidence.events["logins"] == logins + 1


async def test_a_device_that_was_unlinked_during_a_long_outage_is_offered_a_new_code_at_once(
    world: World,
) -> None:
    phone = await world.user.pair()
    await world.pass_time(60)
    await world.network.down()
    await world.pass_time(3600)
    world.simulator.unlink(phone)
    world.network.up()
    await world.pass_time(3600, until=lambda: not world.perene.live().paired)
    assert await world.pass_time(10, until=lambda: world.perene.state() is State.PAIRING) < 2


async def test_a_device_that_was_unlinked_needs_pairing_over_a_restart_until_it_is_linked(
    world: World,
) -> None:
    phone = await world.user.pair()
    await world.pass_time(60)
    world.simulator.unlink(phone)
    await world.pass_time(60, until=lambda: world.perene.state() is State.PAIRING)
    assert world.perene.live().needs_pairing
    await world.perene.restart()
    await world.pass_time(60, until=lambda: world.perene.state() is State.PAIRING)
    assert world.perene.live().needs_pairing
    qr = await world.perene.sessions.current_qr(DESK, wait_s=PATIENCE_S)
    world.simulator.scan_qr(qr.text, phone)
    await world.pass_time(60, until=lambda: world.perene.state() is State.OPEN)
    assert not world.perene.live().needs_pairing


@pytest.mark.requirement("D11")
async def test_every_step_of_a_reconnection_is_logged_with_attempt_limit_and_wait(
    world: World,
) -> None:
    phone = await world.user.pair()
    await world.pass_time(60)
    with capture_logs() as lines:
        for _ in range(3):
            world.simulator.disconnect(phone, "stream_error", 515)
            await world.settled()
            await world.pass_time(3600, until=lambda: world.perene.state() is State.OPEN)
    ends = [line for line in lines if line["event"] == "disconnected"]
    assert [(line["attempt"], line["limit"], line["retry_in_s"]) for line in ends] == [
        (1, 10, 0.0),
        (2, 10, 300.0),
        (3, 10, 600.0),
    ]
    assert {(line["cause"], line["code"]) for line in ends} == {("restart_required", "515")}
    begun = [line for line in lines if line["event"] == "connecting"]
    assert [(line["attempt"], line["limit"]) for line in begun] == [(1, 10), (2, 10), (3, 10)]
