"""The send loop of a connection: what is queued in the store goes out, in order."""

import asyncio
import math
from collections import Counter

import structlog

from perene.core.clock import Clock
from perene.core.failures import Failure, FailureCode
from perene.core.ids import MessageId
from perene.core.messages import Message
from perene.engine.errors import CannotSend, Overtaking, QueryFailed, QueryTimedOut
from perene.engine.ports import SessionStore
from perene.engine.reach_out import REFUSED_HERE, ReachOut
from perene.engine.send import Sender
from perene.engine.wire_forms import WireForms
from perene.wire.jid import Jid

log = structlog.stdlib.get_logger()

WINDOW = 64
"""Messages on the wire without the server's answer; the next ones wait for it."""

_RETRY_S = 5.0
_LONGEST_RETRY_S = 300.0
"""Between two questions to whom a message is to go; each wait is twice the one before."""

_BAD_ANSWERS = 3
"""How often in a row the server may give an answer that a message cannot be sent by; then the
message has failed, and the next one of its chat has its turn."""

_TOO_MANY = 429
"""The server wants fewer questions, whatever they are about (`rate-overlimit`)."""

_ALL = ""
"""Stands for every chat."""

_FAR = 1024
"""How far the queue is looked through while a chat in it is held."""

ANSWER_WITHIN_S = 75.0
"""How long the server may take to answer a message (whatsmeow's limit,
docs/reference/protocol.md §4.2)."""


class SendLoop:
    """Sends queued messages until cancelled. `wake` tells it that there may be some.

    A message leaves the queue by the server's answer only. What was on the wire without one when
    a connection ended, or for too long, is sent again under the same id.

    The order within a chat is kept. A chat of which the server does not say who is in it keeps no
    other one waiting; a server that is asked too often is asked nothing for a while.
    """

    def __init__(
        self,
        store: SessionStore,
        sender: Sender,
        clock: Clock,
        reach_out: ReachOut,
        forms: WireForms,
    ) -> None:
        self._store = store
        self._reach_out = reach_out
        self._sender = sender
        self._clock = clock
        self._forms = forms
        self._wake = asyncio.Event()
        self._wake.set()
        self._busy = asyncio.Event()
        """Set while there may be messages on the wire."""
        self._on_wire: dict[MessageId, float] = {}
        """Messages that wait for the server's answer, and the monotonic second each left at: for
        the one that is being made ready, which can take longer than any answer, none yet."""
        self._chats: dict[MessageId, str] = {}
        """Whom those on the wire are for."""
        self._overdue: Counter[MessageId] = Counter()
        """How often the answer to a message was waited for in vain."""
        self._held: dict[str, float] = {}
        """Chats to which nothing is sent, and until which monotonic second."""
        self._failures: Counter[str] = Counter()
        """How often in a row the server did not say where a chat's message is to go."""
        self._tasks: asyncio.TaskGroup
        self._backlog_known = False
        """Whether the queue was looked at that an earlier connection has left."""

    def wake(self) -> None:
        """Look into the queue again."""
        self._wake.set()

    def answered(self, message_id: MessageId) -> None:
        """The server, or a recipient, has answered for this message: there is room for another."""
        del self._overdue[message_id]
        if self._on_wire.pop(message_id, None) is not None:
            self._wake.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as self._tasks:
            self._tasks.create_task(self._watch(), name="unanswered messages")
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._send_queued()

    async def _watch(self) -> None:
        """Put back what the server has not answered; each time it gets longer."""
        while True:
            if not self._on_wire:
                self._busy.clear()
                await self._busy.wait()
            await self._clock.sleep(ANSWER_WITHIN_S / 5)
            now = self._clock.monotonic()
            late = [m for m, since in self._on_wire.items() if now - since > self._patience(m)]
            for message_id in late:
                del self._on_wire[message_id]
                self._overdue[message_id] += 1
            if late:
                log.warning("messages_unanswered", count=len(late))
                self._wake.set()

    def _patience(self, message_id: MessageId) -> float:
        return ANSWER_WITHIN_S * (1 + self._overdue[message_id])

    async def _send_queued(self) -> None:
        while len(self._on_wire) < WINDOW:
            # Taken before the look: what is answered during it may still be seen as queued.
            before, refusals = set(self._on_wire), self._forms.refusals
            fresh = await self._fresh(WINDOW, before)
            if not fresh and self._held:
                # Only then: reading so many is not cheap.
                fresh = await self._fresh(_FAR, before)
            if not fresh:
                break
            if not self._backlog_known:
                # Queued before this connection, perhaps before the account was limited.
                await self._reach_out.recall()
                self._backlog_known = True
            # Not what is held by now: a hold may end during this, and nothing of a chat may go out
            # before what is ahead of it there.
            stuck: set[str] = set()
            for message in fresh[:WINDOW]:
                if self._forms.refusals != refusals:
                    break  # what goes out again is ahead of others in the queue, but not in here
                chat = message.key.chat
                if chat in stuck or self._forms.name_of(chat) in self._waited_for():
                    continue
                if not await self._send(message):
                    stuck.add(chat)
        self._backlog_known = True

    async def _fresh(self, limit: int, before: set[MessageId]) -> list[Message]:
        """Return what may be sent among the first messages of the queue."""
        queued = await self._store.queued_messages(limit)
        # Of one moment: a chat that is free in the middle of a look would let its later ones past.
        now = self._clock.monotonic()
        self._held = {chat: until for chat, until in self._held.items() if now < until}
        waited_for = self._waited_for()
        return [
            m
            for m in queued
            if m.key.id not in before
            and m.key.chat not in self._held
            and self._forms.name_of(m.key.chat) not in waited_for
        ]

    def _waited_for(self) -> set[str]:
        """Return the chats with a message on the wire that may be refused for its addresses."""
        if self._forms.is_settled:
            return set()
        self._forget_chats()
        chats = set(self._chats.values())
        doubtful = (chat for chat in chats if self._forms.may_be_refused(Jid.parse(chat)))
        return {self._forms.name_of(chat) for chat in doubtful}

    def _forget_chats(self) -> None:
        self._chats = {m: chat for m, chat in self._chats.items() if m in self._on_wire}

    async def _send(self, message: Message) -> bool:
        """Send or refuse a message; False if it stays where it is, and its chat is held."""
        self._on_wire[message.key.id] = math.inf
        self._busy.set()
        self._chats[message.key.id] = message.key.chat
        if len(self._chats) > 2 * WINDOW:
            self._forget_chats()
        chat = Jid.parse(message.key.chat)
        was_in_doubt = self._forms.may_be_refused(chat)
        try:
            if await self._reach_out.may_send(message):
                if not was_in_doubt and self._forms.may_be_refused(chat):
                    raise Overtaking
                await self._sender.send(message)
                if message.key.id in self._on_wire:
                    self._on_wire[message.key.id] = self._clock.monotonic()
            else:
                failure = Failure(code=FailureCode.REACH_OUT_LIMITED)
                await self._refuse(message, failure, REFUSED_HERE)
        except CannotSend as error:
            if error.may_pass and self._failures[message.key.chat] + 1 < _BAD_ANSWERS:
                return await self._put_off(message, error)
            del self._failures[message.key.chat]
            await self._refuse(message, error.failure, str(error))
        except (QueryFailed, QueryTimedOut) as error:
            return await self._put_off(message, error)
        except Overtaking:
            self._on_wire.pop(message.key.id, None)
            return False
        else:
            if self._failures.pop(message.key.chat, 0):
                del self._failures[_ALL]
        return True

    async def _put_off(
        self, message: Message, error: QueryFailed | QueryTimedOut | CannotSend
    ) -> bool:
        """Send nothing to a chat for a while; to nobody, if the server is asked too often.

        It did not say where to send a message: nothing has left. False, as `_send` tells it.
        """
        chat = message.key.chat
        self._on_wire.pop(message.key.id, None)
        too_many = isinstance(error, QueryFailed) and error.status == _TOO_MANY
        earlier = max(self._failures[chat], self._failures[_ALL] if too_many else 0)
        wait_s = min(_RETRY_S * 2 ** min(earlier, 10), _LONGEST_RETRY_S)
        self._failures[chat] = earlier + 1
        self._held[chat] = self._clock.monotonic() + wait_s
        log.warning("recipients_not_told", reason=str(error), retry_in_s=wait_s)
        if too_many:
            self._failures[_ALL] = earlier + 1
            await self._clock.sleep(wait_s)
        else:
            self._tasks.create_task(self._wake_in(wait_s), name="held chat")
        return False

    async def _wake_in(self, wait_s: float) -> None:
        await self._clock.sleep(wait_s)
        self._wake.set()

    async def _refuse(self, message: Message, failure: Failure, error: str) -> None:
        refused = await self._sender.refuse(message, failure, error)
        refused.add_done_callback(lambda _: self.answered(message.key.id))
