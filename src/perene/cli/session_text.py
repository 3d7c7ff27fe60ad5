"""What the session commands print of a session and of its outages."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast

from perene.cli.service import JsonObject
from perene.cli.writing import facts, masked, moment, shown_moment, span, table

_COLUMNS = ("ID", "NAME", "STATE", "SINCE", "PHONE", "CAUSE", "ATTEMPT", "NEXT ATTEMPT")
_OUTAGE_COLUMNS = ("BEGAN", "LASTED", "ATTEMPTS", "END", "CAUSE", "CODE", "TIMES", "EVIDENCE")


def sessions_table(sessions: Sequence[JsonObject], now: datetime) -> str:
    """Return one line for each session."""
    return table(_COLUMNS, [_row(session, now) for session in sessions])


def session_page(
    session: JsonObject, outages: Sequence[JsonObject], account: JsonObject, now: datetime
) -> str:
    """Return everything that is known of a session, of its account, and its last outages."""
    options = cast("JsonObject", session.get("options") or {})
    page = facts(
        [
            ("id", text(session, "id")),
            ("name", text(session, "name")),
            ("wanted", words(session, "desired")),
            ("state", words(session, "connection")),
            ("connected since", shown_moment(session.get("connected_at"))),
            ("outage since", shown_moment(session.get("outage_began_at"))),
            ("last proof of life", shown_moment(session.get("alive_at"))),
            ("phone last heard of", shown_moment(session.get("phone_seen_at"))),
            ("phone", masked(session.get("phone"))),
            ("linked as well", _twins(session.get("twins"))),
            ("shown as", text(session, "push_name")),
            ("linked to", text(session, "platform") if session.get("paired") else "nothing yet"),
            ("QR code to scan", "yes, see `perene session pair`" if _has_qr(session) else ""),
            ("cause", words(session, "cause")),
            ("last error", text(session, "last_error")),
            ("attempt", _attempt(session)),
            ("next attempt", next_attempt(session, now)),
            ("suspected deaf", _times(session.get("deaf_suspicions"))),
            ("ban", _ban(session.get("ban"))),
            *_account(account, now),
            ("created", shown_moment(session.get("created_at"))),
            *((words(name), _option(value)) for name, value in options.items()),
        ]
    )
    if stale := stale_line(session):
        return f"{page}\n\n{stale}\nIts outages cannot be read."
    if not outages:
        return f"{page}\n\nNo outage is on record."
    rows = table(_OUTAGE_COLUMNS, [row for outage in outages for row in _outage(outage, now)])
    return f"{page}\n\nLast outages, the latest first, and how their connections ended:\n{rows}"


def stale_line(session: JsonObject) -> str:
    """Return a sentence that says how old the stored half of a session is, "" if it is not."""
    at = shown_moment(session.get("as_of"))
    return (
        f"The database does not answer: names, numbers and what is wanted are as of {at}."
        " How the connection is, is true now."
        if at
        else ""
    )


def state_line(session: JsonObject) -> str:
    """Return one sentence about how a session is now."""
    state, wanted = words(session, "connection"), words(session, "desired")
    return f"Session {text(session, 'id')} is wanted {wanted}; its connection is: {state}."


def next_attempt(session: JsonObject, now: datetime) -> str:
    """Return when the next attempt is made, "" if none is planned."""
    at = moment(session.get("retry_at"))
    if at is None:
        return ""
    return f"in {span(at - now)}" if at - now > timedelta() else "now"


def text(item: JsonObject, name: str) -> str:
    """Return a member as text, "" for null and for one that is missing."""
    value = item.get(name)
    return "" if value is None else str(value)


def words(item: JsonObject | str, name: str = "") -> str:
    """Return a name, or the name that a member holds, with spaces."""
    return (item if isinstance(item, str) else text(item, name)).replace("_", " ")


def _row(session: JsonObject, now: datetime) -> tuple[str, ...]:
    since = session.get("connected_at") or session.get("outage_began_at")
    return (
        text(session, "id"),
        text(session, "name"),
        words(session, "connection"),
        shown_moment(since),
        masked(session.get("phone")),
        words(session, "cause"),
        _attempt(session),
        next_attempt(session, now),
    )


def _attempt(session: JsonObject) -> str:
    attempt, limit = session.get("attempt"), session.get("limit")
    if not attempt:
        return ""
    return f"{attempt} of {limit}" if limit is not None else str(attempt)


def _times(count: object) -> str:
    return f"{count} times since the start" if count else ""


def _twins(twins: object) -> str:
    if not isinstance(twins, list) or not twins:
        return ""
    others = ", ".join(str(other) for other in cast("list[object]", twins))
    return f"in {others}: each receives every message"


def _ban(ban: object) -> str:
    if not isinstance(ban, dict):
        return ""
    told = cast("JsonObject", ban)
    code = f" (code {told['code']})" if told.get("code") else ""
    until = shown_moment(told.get("until"))
    meaning = text(told, "meaning").rstrip(".")
    return f"{meaning}{code}, {f'until {until}' if until else 'for how long is not known'}"


def _account(account: JsonObject, now: datetime) -> list[tuple[str, str]]:
    limits = cast("list[JsonObject]", account.get("limits") or [])
    begun, allowance = account.get("new_chats_24h"), account.get("allowance")
    count = str(begun or "")  # nothing is said of none that nobody bounds
    if allowance is not None:
        count = f"{begun} of {allowance}"
    next_at = moment(account.get("next_chat_at"))
    return [
        *(("new chats limited", _limit(limit)) for limit in limits),
        ("new chats in 24 h", count),
        ("next new chat", f"in {span(next_at - now)}" if next_at and next_at > now else ""),
    ]


def _limit(limit: JsonObject) -> str:
    meaning, until = text(limit, "meaning").rstrip("."), shown_moment(limit.get("until"))
    by = "WhatsApp says" if limit.get("told") else "Perene holds them"
    return f"{meaning} (code {text(limit, 'code')}), {by} until {until}"


def _has_qr(session: JsonObject) -> bool:
    return bool(session.get("qr_available"))


def _option(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case _:
            return str(value)


def _outage(outage: JsonObject, now: datetime) -> list[tuple[str, ...]]:
    """Return a row for each way in which its connections ended; the first says how it goes."""
    began, ended = moment(outage.get("began_at")), moment(outage.get("ended_at"))
    how_it_goes = (
        shown_moment(outage.get("began_at")),
        span((ended or now) - began) if began else "",
        text(outage, "attempts"),
        words(outage, "end") if ended else "not yet",
    )
    # A service older than this command does not list the losses.
    losses = cast("list[JsonObject]", outage.get("losses")) or [outage]
    blank = ("",) * len(how_it_goes)
    return [
        (*(blank if number else how_it_goes), *_loss(loss)) for number, loss in enumerate(losses)
    ]


def _loss(loss: JsonObject) -> tuple[str, ...]:
    attributes = cast("JsonObject", loss.get("attributes") or {})
    return (
        words(loss, "cause"),
        text(loss, "code"),
        text(loss, "times"),
        " ".join(f"{name}={value}" for name, value in attributes.items()),
    )
