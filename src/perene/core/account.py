"""What WhatsApp allows an account: bans, reach-out limits, and how fast new chats are begun.

WhatsApp refuses a message that "reaches out" to somebody who has not written back, and trying
again makes the restriction longer (docs/reference/protocol.md §2; Baileys#2441 and #2707). So a
refused message stays failed, and no new chat is begun before the limit is over. Chats in which the
other side has written, or in which a message of ours was accepted, are not concerned.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from perene.core.account_codes import TIME_LOCK, ban_meaning, limit_meaning
from perene.core.events import Event, EventType, Json

DAY: Final = timedelta(hours=24)

_BELIEVED: Final = 2
"""Up to so many refusals (463) in a day WhatsApp is believed that the account is not locked."""

BY_WHATSAPP: Final = "whatsapp"
"""Who has lifted a limit, if no person did."""

LIMIT_EVENTS: Final = (
    EventType.SESSION_LIMITED,
    EventType.SESSION_LIMIT_LIFTED,
    EventType.SESSION_DELETED,
)
"""The events that `step` makes limits from."""

ACCOUNT_EVENTS: Final = (*LIMIT_EVENTS, EventType.SESSION_BANNED, EventType.SESSION_CONNECTED)
"""The events that `step` makes all of an account's state from."""


class ChatStanding(StrEnum):
    """How far a chat with a person has come."""

    NEW = "new"
    """Nobody has written, or all that we wrote was refused."""
    STARTED = "started"
    """We wrote, and the server has not answered yet."""
    ESTABLISHED = "established"
    """The other side has written, or a message of ours was accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachOutPolicy:
    """How carefully new chats are begun.

    `new_chats_per_day` 0 and a pause of nothing mean no pacing: WhatsApp publishes no number, and
    what an account may do depends on its age and its use.
    """

    new_chats_per_day: int = 0
    new_chat_pause: timedelta = timedelta(0)

    @property
    def paces(self) -> bool:
        """Whether new chats have to be counted at all."""
        return bool(self.new_chats_per_day or self.new_chat_pause)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ban:
    """A ban of the number. `until` is None for one without a known end."""

    code: str | None
    until: datetime | None

    @property
    def meaning(self) -> str:
        """The sentence about it for a person."""
        return ban_meaning(self.code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The last limit that WhatsApp set; `count` refusals or notices since it was last lifted.

    `told` says that `until` is WhatsApp's own word, not our hold.
    """

    code: str
    at: datetime
    until: datetime
    told: bool = False
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLimits:
    """What is known of an account.

    `started` are the new chats of the last 24 h, oldest first; `refused` tells of messages, by
    their ids, when WhatsApp refused them with 463, for a day, or until a person lifts the limit.
    """

    limit: Limit | None = None
    ban: Ban | None = None
    started: tuple[datetime, ...] = field(default=())
    refused: Mapping[str, datetime] = field(default_factory=dict[str, datetime])

    def held(self, now: datetime) -> Limit | None:
        """Return the limit that forbids new chats at this moment.

        A hold of ours that begins later than it lasts is of a clock that was ahead, perhaps by
        years: if WhatsApp still limits the account, the next refusal says so by the right one.
        """
        limit = self.limit
        if limit is None or now >= limit.until:
            return None
        astray = not limit.told and limit.at - now > limit.until - limit.at
        return None if astray else limit

    def may_be_unlocked(self, now: datetime) -> bool:
        """Tell whether WhatsApp is to be believed when it says that the account is not locked.

        Then it was the one message that lacked a privacy token (waha issue 2219, 2026-08-08;
        evolution-go issue 50, 2026-08-11). When that happens again and again new chats are held all
        the same: each try makes a lock more likely.
        """
        return len(_of_a_day(self.refused.values(), now)) <= _BELIEVED

    def banned(self, now: datetime) -> Ban | None:
        """Return the ban that is in force at this moment, as far as is known."""
        ban = self.ban
        return ban if ban is not None and (ban.until is None or now < ban.until) else None


class Refusal(StrEnum):
    """Why a new chat is not begun now."""

    LIMITED = "limited"
    ALLOWANCE = "allowance"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a new chat may be begun; if not, why, and after how long it may."""

    refusal: Refusal | None = None
    retry_after: timedelta = timedelta(0)

    @property
    def allowed(self) -> bool:
        """Whether it may be begun now."""
        return self.refusal is None


ALLOWED: Final = Verdict()


def limited(
    state: AccountLimits, code: str, now: datetime, until: datetime, *, told: bool = False
) -> AccountLimits:
    """WhatsApp has set or shown a limit; `until` is its own word (`told`) or our hold.

    What WhatsApp said of the end stays true while it lies ahead; holds only ever grow.
    """
    earlier = state.limit
    if earlier is None:
        return replace(state, limit=Limit(code=code, at=now, until=until, told=told))
    if not told and state.held(now) is not None:
        until = earlier.until if earlier.told else max(until, earlier.until)
        told = earlier.told
    limit = Limit(code=code, at=now, until=until, told=told, count=earlier.count + 1)
    return replace(state, limit=limit)


def lifted(state: AccountLimits) -> AccountLimits:
    """The limit is over, by WhatsApp's word or a person's."""
    return replace(state, limit=None)


def may_start_chat(state: AccountLimits, now: datetime, policy: ReachOutPolicy) -> Verdict:
    """Tell whether a new chat may be begun now."""
    held = state.held(now)
    if held is not None:
        return Verdict(refusal=Refusal.LIMITED, retry_after=held.until - now)
    recent = _of_a_day(state.started, now)
    most = policy.new_chats_per_day
    if most and len(recent) >= most:
        return Verdict(refusal=Refusal.ALLOWANCE, retry_after=recent[-most] + DAY - now)
    if recent and now < recent[-1] + policy.new_chat_pause:
        return Verdict(refusal=Refusal.PAUSE, retry_after=recent[-1] + policy.new_chat_pause - now)
    return ALLOWED


def may_write(
    state: AccountLimits, standing: ChatStanding, now: datetime, policy: ReachOutPolicy
) -> Verdict:
    """Tell whether a person may be written to now.

    A chat that was begun is not begun again, but under a limit it waits for the other side: each
    further message would reach out once more.
    """
    if standing is ChatStanding.ESTABLISHED:
        return ALLOWED
    if standing is ChatStanding.STARTED and state.held(now) is None:
        return ALLOWED
    return may_start_chat(state, now, policy)


def limit_event(
    code: str,
    now: datetime,
    *,
    hold: timedelta,
    told_until: datetime | None = None,
    **more: Json,
) -> Event:
    """Return the event of a limit, from which `step` makes it again after a restart."""
    until = told_until or now + hold
    payload: dict[str, Json] = {
        "code": code,
        "meaning": limit_meaning(code, told=told_until is not None),
        "until": until.isoformat(),
        "told": told_until is not None,
        **more,
    }
    return Event(type=EventType.SESSION_LIMITED, at=now, payload=payload)


def step(state: AccountLimits, event: Event) -> AccountLimits:
    """Fold one stored event into the state; events of other types change nothing."""
    match event.type:
        case EventType.SESSION_LIMITED:
            until = _moment(event.payload.get("until"))
            if until is None:
                return state
            code = str(event.payload.get("code", ""))
            if code == TIME_LOCK and "message_id" in event.payload:
                state = _refused(state, str(event.payload["message_id"]), event.at)
            return limited(state, code, event.at, until, told=event.payload.get("told") is True)
        case EventType.SESSION_LIMIT_LIFTED if event.payload.get("by") == BY_WHATSAPP:
            return lifted(state)
        case EventType.SESSION_LIMIT_LIFTED:
            return replace(lifted(state), refused={})
        case EventType.SESSION_BANNED:
            sub_code = event.payload.get("ban_code")
            until = _moment(event.payload.get("until"))
            return replace(state, ban=Ban(code=str(sub_code) if sub_code else None, until=until))
        case EventType.SESSION_CONNECTED:
            return replace(state, ban=None)
        case EventType.SESSION_DELETED:
            return AccountLimits()
        case _:
            return state


def _refused(state: AccountLimits, message_id: str, at: datetime) -> AccountLimits:
    # By its id, for what is read in the store may have been told before.
    lately = {id_: then for id_, then in state.refused.items() if abs(then - at) < DAY}
    return replace(state, refused=lately | {message_id: at})


def _of_a_day(moments: Iterable[datetime], now: datetime) -> tuple[datetime, ...]:
    # Neither older than a day, nor of a clock that was ahead by more.
    return tuple(at for at in moments if abs(at - now) < DAY)


def _moment(value: Json) -> datetime | None:
    """Read a stored time; None for what is none."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
