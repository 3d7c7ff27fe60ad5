"""One session's flood leaves the others their turns of the event loop."""

import asyncio
from collections.abc import AsyncIterator
from unittest.mock import AsyncMock, Mock

import pytest

from perene.engine.answers import MAX_BURST, Answers
from perene.engine.dispatcher import Dispatcher
from perene.engine.draft import Draft
from perene.engine.encrypt import Addressed, seal_for_devices
from perene.wire.jid import Jid
from perene.wire.node import Node
from tests.support.virtual_clock import VirtualClock
from tests.unit.engine.fakes import MemoryStore, Wire, line_on, paired, stage_on
from tests.unit.signal.parties import Party

pytestmark = pytest.mark.requirement("C1")

MANY = 200


class Others:
    """The rest of the service: has something to do in each round of the event loop."""

    def __init__(self) -> None:
        self.turns = 0

    async def live(self) -> None:
        while True:
            self.turns += 1
            await asyncio.sleep(0)


@pytest.fixture
async def others() -> AsyncIterator[Others]:
    one = Others()
    living = asyncio.create_task(one.live())
    yield one
    living.cancel()


async def test_a_batch_of_stanzas_is_not_processed_in_one_go(others: Others) -> None:
    stage = stage_on(MemoryStore())
    parts = (
        "welcome",
        "login",
        "linking",
        "receiver",
        "retry_answers",
        "own_messages",
        "notifications",
        "phone_ping",
    )
    offline, phone_watch, listening = Mock(), Mock(), Mock()
    dispatcher = Dispatcher(
        line_on(stage, queries=None, clock=VirtualClock()),
        offline=offline,
        phone_watch=phone_watch,
        listening=listening,
        **{name: AsyncMock() for name in parts},
    )
    stanzas = [Node("news", {"id": str(n), "from": "s.whatsapp.net"}) for n in range(MANY)]
    await dispatcher.dispatch(stanzas)
    assert [call.args[0] for call in phone_watch.took.call_args_list] == stanzas
    assert others.turns >= MANY // 32


async def test_answers_that_the_socket_takes_at_once_do_not_leave_in_one_go(
    others: Others,
) -> None:
    wire = Wire()
    answers = Answers(wire, VirtualClock(), delay_s=0.5, max_waiting=10 * MAX_BURST)  # pyright: ignore[reportArgumentType]  # all that is used of a channel
    for number in range(10 * MAX_BURST):
        answers.put(None, Node("ack", {"id": str(number)}))
    leaving = asyncio.create_task(answers.run())
    await answers.drained()
    leaving.cancel()
    assert len(wire.sent) == 10 * MAX_BURST
    assert others.turns >= 10


async def test_a_message_to_a_large_new_group_is_not_encrypted_in_one_go(others: Others) -> None:
    own, party = paired(), Party()
    bundle = party.bundle(one_time=False)
    devices = [Jid.parse(f"{number}@lid") for number in range(1, MANY + 1)]
    stage = stage_on(MemoryStore(), own)
    async with stage.lock:
        sealed = await seal_for_devices(
            Draft(stage),
            [Addressed(device=one, wire=one, plaintext=b"key") for one in devices],
            dict.fromkeys(devices, bundle),
            own,
            {},
        )
    assert list(sealed.reached) == devices
    assert others.turns >= MANY // 8
