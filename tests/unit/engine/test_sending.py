"""The send loop: what is queued goes out once for each answer that is missing."""

import asyncio
from collections.abc import Sequence
from typing import cast

from perene.core.messages import Message, Status
from perene.engine.ports import SessionStore
from perene.engine.reach_out import ReachOut
from perene.engine.send import Sender
from perene.engine.sending import SendLoop
from tests.support.units import key, message
from tests.support.virtual_clock import VirtualClock


class SlowQueue:
    """A store whose answer about the queue may be out of date when it arrives."""

    def __init__(self, queued: list[Message]) -> None:
        self.queued = queued
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def queued_messages(self, limit: int) -> Sequence[Message]:
        found = list(self.queued[:limit])
        self.asked.set()
        await self.may_answer.wait()
        return found


class Free:
    """An account without limits."""

    async def recall(self) -> None:
        """Nothing was ever said of limits."""

    async def may_send(self, message: Message) -> bool:
        return True


class Recorder:
    """A sender that notes what it is given."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.changed = asyncio.Event()

    async def send(self, message: Message) -> None:
        self.sent.append(message.key.id)
        self.changed.set()


async def test_a_message_answered_during_a_look_at_the_queue_is_not_sent_again() -> None:
    first = message(key("A", from_me=True), status=Status.QUEUED)
    second = message(key("B", from_me=True), status=Status.QUEUED)
    store, sender = SlowQueue([first]), Recorder()
    loop = SendLoop(
        cast("SessionStore", store),
        cast("Sender", sender),
        VirtualClock(),
        cast("ReachOut", Free()),
    )
    running = asyncio.create_task(loop.run())
    store.may_answer.set()
    await sender.changed.wait()

    store.may_answer.clear()
    store.asked.clear()
    store.queued = [first, second]
    loop.wake()
    await store.asked.wait()
    store.queued = [second]
    loop.answered(first.key.id)
    sender.changed.clear()
    store.may_answer.set()
    await sender.changed.wait()

    assert sender.sent == ["A", "B"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
