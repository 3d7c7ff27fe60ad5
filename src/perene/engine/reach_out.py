"""Reach-out limits on the wire: what WhatsApp says of them, and what may still be sent.

A refusal with 463 or 475 comes for each message that reaches out, and each such message makes it
worse (docs/reference/protocol.md §2). So what is still queued for people who have not answered is
refused here as soon as the first refusal comes, without being sent.
"""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import structlog

from perene.core.account import (
    BY_WHATSAPP,
    AccountLimits,
    ChatStanding,
    limit_event,
    step,
)
from perene.core.account_codes import (
    NEW_CHAT_CAP,
    REACH_OUT_CODES,
    TIME_LOCK,
)
from perene.core.clock import happens_within
from perene.core.events import Event, EventType, Json
from perene.core.messages import Message
from perene.engine.errors import QueryFailed, QueryTimedOut
from perene.engine.line import Line
from perene.wire.jid import Jid
from perene.wire.node import Node

log = structlog.stdlib.get_logger()

REFUSED_HERE: Final = "reach_out_limited"
"""The error of a message that was not sent because the account is limited."""

QUERY_ID: Final = "23983697327930364"
"""Names the query for the time lock (Baileys src/Types/Mex.ts, 2026-05-21; whatsapp-rust
wacore/src/iq/mex_operations.rs, 2026-08-21)."""

_LOCK_ANSWER: Final = "xwa2_fetch_account_reachout_timelock"
_LOCK_NOTICE: Final = "xwa2_notify_account_reachout_timelock"
_CAP_NOTICE: Final = "xwa2_notify_new_chat_messages_capping_info_update"
_CAPPED: Final = "CAPPED"

_LONGEST: Final = timedelta(days=366)

_WAIT_S: Final = 5.0
"""How long a message waits to hear whether its account is limited."""


class ReachOut:
    """The limits of one account, for one connection.

    Nothing is read from the store before a limit is possible: at the first message that an earlier
    connection left, or after a refusal.
    """

    def __init__(self, line: Line, *, hold_s: float) -> None:
        self._line = line
        self._stage = line.stage
        self._queries = line.queries
        self._clock = line.clock
        self._later = line.later
        self._hold = timedelta(seconds=hold_s)
        self._limits = AccountLimits()
        self._position = 0
        self._own: list[Event] = []
        """What this connection was told itself, and has not read in the store yet."""
        self._asking = False
        self._heard = asyncio.Event()
        """Set when nobody is to wait any longer for what is said of a time lock."""

    async def recall(self) -> None:
        """Learn from the store what was said of limits since it was last asked."""
        history = await self._stage.store.limit_history(self._position)
        self._position = history.position
        read = {event.id for event in history.events}
        self._own = [event for event in self._own if event.id not in read]
        # What is still on its way to the store comes behind all that is there: a person may have
        # lifted the limit before it was set anew.
        for event in (*history.events, *self._own):
            self._limits = step(self._limits, event)

    def _take(self, event: Event) -> None:
        self._own.append(event)
        self._limits = step(self._limits, event)

    async def may_send(self, message: Message) -> bool:
        """Tell whether a queued message may go out; asks the store only under a limit."""
        now = self._clock.now()
        if self._limits.held(now) is None:
            return True
        chat = Jid.parse(message.key.chat)
        if not (chat.is_pn or chat.is_lid or chat.is_hosted):
            return True
        if self._stage.credentials.is_own(chat):
            return True
        if await self._stage.store.chat_standing(str(chat)) is ChatStanding.ESTABLISHED:
            return True
        if self._asking and not self._heard.is_set():
            # It may be no limit of the account. But nobody else waits for this answer.
            await happens_within(self._clock, self._heard, _WAIT_S)
            self._heard.set()
        # A person may have lifted the limit since.
        await self.recall()
        return self._limits.held(now) is None

    def refused(self, code: str, message_id: str) -> Event | None:
        """Take the code with which a message was refused; return the event if it is a limit."""
        if code not in REACH_OUT_CODES:
            return None
        event = limit_event(code, self._clock.now(), hold=self._hold, message_id=message_id)
        self._take(event)
        if not self._asking:
            self._asking = self._later(self._ask)
            self._heard.clear()
        return event

    async def notice(self, node: Node) -> None:
        """Take a `<notification type="mex">`, which may tell of a limit (or of its end).

        Baileys src/Socket/messages-recv.ts `handleMexNotification`, 2026-05-21; whatsmeow
        notification.go `handleMexNotification`, 2026-08-21.
        """
        for update in node.children:
            if update.tag != "update":
                continue
            data = _data(update)
            event = self._lock_event(data.get(_LOCK_NOTICE)) or self._cap_event(
                data.get(_CAP_NOTICE)
            )
            if event is not None:
                await self._tell(event)

    async def _ask(self) -> None:
        """Ask about a time lock after a refusal; without an answer our own hold stands."""
        try:
            await self._learn_of_lock()
        finally:
            self._asking = False
            self._heard.set()

    async def _learn_of_lock(self) -> None:
        question = Node("query", {"query_id": QUERY_ID}, b'{"variables":{}}')
        try:
            answer = await self._queries.ask("w:mex", "get", question)
        except (QueryFailed, QueryTimedOut):
            return
        found = answer.child("result")
        lock = {} if found is None else _object(_data(found).get(_LOCK_ANSWER))
        if lock.get("is_active") is False:
            # Messages of earlier connections may have been refused, too.
            await self.recall()
            if not self._limits.may_be_unlocked(self._clock.now()):
                return
        if "is_active" in lock and (event := self._lock_event(lock)) is not None:
            await self._tell(event)

    def _lock_event(self, value: Any) -> Event | None:
        lock = _object(value)
        if not lock:
            return None
        if lock.get("is_active") is not True:
            return self._lifted(TIME_LOCK)
        kind = lock.get("enforcement_type")
        return self._told(
            TIME_LOCK,
            lock.get("time_enforcement_ends"),
            enforcement=kind[:64] if isinstance(kind, str) else None,
        )

    def _cap_event(self, value: Any) -> Event | None:
        cap = _object(value)
        status = cap.get("capping_status")
        if not isinstance(status, str):
            return None
        if status == _CAPPED:
            return self._told(NEW_CHAT_CAP, cap.get("cycle_end_timestamp"))
        return self._lifted(NEW_CHAT_CAP)

    def _told(self, code: str, ends: Any, **more: Json) -> Event:
        now = self._clock.now()
        until = _future(ends, now)
        return limit_event(code, now, hold=self._hold, told_until=until, **more)

    def _lifted(self, code: str) -> Event | None:
        """One limit does not end by the end of another."""
        limit = self._limits.limit
        if limit is None or limit.code != code:
            return None
        payload: dict[str, Json] = {"code": code, "by": BY_WHATSAPP}
        return Event(type=EventType.SESSION_LIMIT_LIFTED, at=self._clock.now(), payload=payload)

    async def _tell(self, event: Event) -> None:
        self._take(event)
        log.info("reach_out", kind=event.type.value, until=event.payload.get("until"))
        await self._line.tell(event)


def _data(node: Node) -> dict[str, Any]:
    """Return the `data` of a GraphQL answer; empty for what is none."""
    if not isinstance(node.content, (bytes, str)):
        return {}
    try:
        found = json.loads(node.content)
    except (ValueError, RecursionError):
        return {}
    return _object(_object(found).get("data"))


def _object(value: Any) -> dict[str, Any]:
    """Return a JSON object; empty for any other value."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _future(value: Any, now: datetime) -> datetime | None:
    """Read Unix seconds, as number or text, that lie ahead and not absurdly far."""
    try:
        found = datetime.fromtimestamp(int(value), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    return found if now < found <= now + _LONGEST else None
