"""Keeps accounts from being restricted further: who may be written to, and how fast.

What was said of limits and bans is read from the outbox, where it was committed with the refusal
itself, so that it survives a restart. New chats are counted from the stored messages.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final, Protocol

from perene.core.account import (
    ACCOUNT_EVENTS,
    DAY,
    AccountLimits,
    ChatStanding,
    ReachOutPolicy,
    Refusal,
    Verdict,
    may_start_chat,
    may_write,
    step,
)
from perene.core.account_codes import limit_meaning
from perene.core.clock import Clock
from perene.core.events import Event, EventType
from perene.core.ids import SessionId
from perene.core.sessions import SessionRecord
from perene.supervisor.ports import AccountView, Events, ReachOutLimited
from perene.supervisor.storage.retries import Retries

_PERSONS: Final = ("@s.whatsapp.net", "@lid", "@hosted", "@hosted.lid")

_MANY: Final = 1000


class AccountStore(Protocol):
    """What is needed of a store. Each method raises NotFound for a session that does not exist."""

    async def get_session(self, session: SessionId) -> SessionRecord: ...

    async def chat_standing(self, session: SessionId, chat: str) -> ChatStanding: ...

    async def chats_started(
        self, session: SessionId, since: datetime, own: Sequence[str]
    ) -> Sequence[datetime]: ...

    async def append_events(self, events: Sequence[tuple[SessionId | None, Event]]) -> None: ...


@dataclass(slots=True)
class _Account:
    """What is known of one account, as far as the outbox was read."""

    limits: AccountLimits = field(default_factory=AccountLimits)
    position: int = 0
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    door: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held from the count of new chats until the next one is stored."""


class AccountDesk:
    """Implements `ports.Accounts`, and admits messages to new chats.

    For a limit that is lifted a database that restarts is waited for (`retries`).
    """

    def __init__(
        self,
        store: AccountStore,
        events: Events,
        clock: Clock,
        policy: ReachOutPolicy,
        retries: Retries,
        *,
        ring: Callable[[], None],
    ) -> None:
        self._store = store
        self._retries = retries
        self._events = events
        self._clock = clock
        self._policy = policy
        self._ring = ring
        self._accounts: dict[SessionId, _Account] = {}

    async def account(self, session: SessionId) -> AccountView:
        """Return what the session's account may do now. Raises NotFound."""
        record = await self._store.get_session(session)
        account = await self._account(session)
        limits = await self._with_started(record, await self._limits(session, account))
        now = self._clock.now()
        verdict = may_start_chat(limits, now, self._policy)
        limit = limits.held(now)
        return AccountView(
            limits=[] if limit is None else [limit],
            ban=limits.banned(now),
            new_chats_24h=len(limits.started),
            allowance=self._policy.new_chats_per_day or None,
            pause_s=self._policy.new_chat_pause.total_seconds(),
            next_chat_at=None if verdict.allowed else now + verdict.retry_after,
        )

    def forget(self, session: SessionId) -> None:
        """Let go of what was read of a session; one that exists is read anew."""
        self._accounts.pop(session, None)

    async def lift(self, session: SessionId) -> AccountView:
        """Take a person's word that the limit is over. Raises NotFound."""
        await self._store.get_session(session)
        account = await self._account(session)
        if (await self._limits(session, account)).held(self._clock.now()) is not None:
            event = Event(
                type=EventType.SESSION_LIMIT_LIFTED,
                at=self._clock.now(),
                payload={"by": "request"},
            )
            # Again, if nobody heard that it was stored: an event is stored once.
            await self._retries.ask(partial(self._store.append_events, [(session, event)]))
            self._ring()
        return await self.account(session)

    @asynccontextmanager
    async def admission(self, record: SessionRecord, to: str) -> AsyncGenerator[None]:
        """Admit a message to a bare JID, which is stored inside of this context.

        Raises ReachOutLimited when it would begin a chat that may not be begun now, and NotFound
        for a session that was deleted meanwhile. Costs no query beyond a look for news of limits,
        unless the account is new here, limited, or its pace is set.
        """
        account = await self._account(record.id)
        limits = await self._limits(record.id, account)
        now = self._clock.now()
        if not _reaches_out(record, to) or not (limits.held(now) or self._policy.paces):
            yield
            return
        async with account.door:
            standing = await self._store.chat_standing(record.id, to)
            if standing is not ChatStanding.ESTABLISHED and self._policy.paces:
                limits = await self._with_started(record, limits)
            verdict = may_write(limits, standing, now, self._policy)
            if not verdict.allowed:
                raise ReachOutLimited(
                    _sentence(limits, verdict, now),
                    retry_after_s=math.ceil(verdict.retry_after.total_seconds()),
                )
            yield

    async def _limits(self, session: SessionId, account: _Account) -> AccountLimits:
        async with account.reading:
            more = True
            while more:
                page = await self._events.after(
                    account.position, session=session, types=ACCOUNT_EVENTS, limit=_MANY
                )
                for stored in page.items:
                    account.limits = step(account.limits, stored.event)
                account.position = page.position
                more = len(page.items) == _MANY
        return account.limits

    async def _with_started(self, record: SessionRecord, limits: AccountLimits) -> AccountLimits:
        since = self._clock.now() - DAY
        started = await self._store.chats_started(record.id, since, _own(record))
        return replace(limits, started=tuple(started))

    async def _account(self, session: SessionId) -> _Account:
        """Return what is known of an account. Raises NotFound.

        The session is looked for once its account is remembered: whoever deletes it later calls
        `forget`, and nobody else would.
        """
        if (known := self._accounts.get(session)) is not None:
            return known
        account = self._accounts[session] = _Account()
        try:
            await self._store.get_session(session)
        except BaseException:  # a request that is cancelled must leave nothing behind either
            if self._accounts.get(session) is account:
                self.forget(session)
            raise
        return account


def _reaches_out(record: SessionRecord, to: str) -> bool:
    return to.endswith(_PERSONS) and to not in _own(record)


def _own(record: SessionRecord) -> list[str]:
    """Return the account's own addresses, without device."""
    found: list[str] = []
    for address in (record.pn, record.lid):
        if address is not None:
            user, _, server = address.partition("@")
            found.append(f"{user.partition(':')[0]}@{server}")
    return found


def _sentence(limits: AccountLimits, verdict: Verdict, now: datetime) -> str:
    until = (now + verdict.retry_after).isoformat(timespec="seconds")
    limit = limits.limit
    if verdict.refusal is Refusal.LIMITED and limit is not None:
        return f"{limit_meaning(limit.code, told=limit.told)} New chats wait until {until}."
    if verdict.refusal is Refusal.ALLOWANCE:
        return f"As many chats were begun in 24 hours as are allowed; the next may be at {until}."
    return f"The pause between two new chats lasts until {until}."
