"""A phone that is off: its companions go on, for two weeks."""

from datetime import timedelta

from perene.sim import Simulator
from perene.sim.absence import COMPANIONS_LAST
from tests.unit.sim.client import Client, Clock

MOMENT = timedelta(seconds=1)


async def test_companions_work_without_their_phone_until_two_weeks_are_over(
    simulator: Simulator, clock: Clock
) -> None:
    client = await Client.online(simulator)
    contact = simulator.add_contact().account.phone
    began = clock()
    simulator.set_online(client.me.phone, False)
    assert simulator.absences.off_since(client.me.phone) == began
    clock.advance(COMPANIONS_LAST - MOMENT)
    simulator.run_due()
    simulator.send_text(contact, client.me.phone, "still there?")
    await client.read()
    assert len(client.take("message")) == 1
    clock.advance(MOMENT)
    simulator.run_due()
    await client.read()
    (error,) = client.take("stream:error", code="401")
    assert error.need("conflict").attr("type") == "device_removed"
    assert simulator.person(client.me.phone).account.companions == []


async def test_a_phone_that_comes_back_begins_two_new_weeks(
    simulator: Simulator, clock: Clock
) -> None:
    client = await Client.online(simulator)
    phone = client.me.phone
    simulator.set_online(phone, False)
    clock.advance(COMPANIONS_LAST - MOMENT)
    simulator.set_online(phone, True)
    assert simulator.absences.off_since(phone) is None
    simulator.set_online(phone, False)
    clock.advance(COMPANIONS_LAST - MOMENT)
    simulator.run_due()
    assert simulator.device(phone) is not None
    clock.advance(MOMENT)
    simulator.run_due()
    assert simulator.person(phone).account.companions == []


async def test_to_switch_off_a_phone_that_is_off_changes_nothing(
    simulator: Simulator, clock: Clock
) -> None:
    client = await Client.online(simulator)
    began = clock()
    simulator.set_online(client.me.phone, False)
    clock.advance(MOMENT)
    simulator.set_online(client.me.phone, False)
    assert simulator.absences.off_since(client.me.phone) == began
