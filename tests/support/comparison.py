"""What users are told, compared with what really happened."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from perene.core.causes import Cause
from perene.core.events import EventType
from perene.core.ids import SessionId
from perene.core.outages import MOST_LOSSES, Outage, OutageEnd
from perene.core.policy import STABLE_AFTER
from perene.supervisor.ports import StoredEvent
from tests.support.onlooker import Told
from tests.support.truth import Attempt, By, Truth
from tests.support.virtual_clock import START

NOTICED_S = 60.0
"""How late a loss may be noted: while the database is away, what was before is written first."""

_SAVED_S = 1.0
"""How long it takes at most to save that a session has logged in; a service that ends before then
does not know of it."""

BLINK_S = 2.0
"""A connection that was gone for no longer may have been closed and opened on request."""

SET_S = 4 * 3600.0
"""Times within so much of a clock that was set are not compared."""

_DOWN_S = 300.0
"""After so long it is told that a session is down."""

_ASKED_FOR = (Cause.STOPPED, Cause.RESTARTED, Cause.SERVICE_ENDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """An outage with its times by the monotonic clock."""

    outage: Outage
    began: float
    ended: float

    def __str__(self) -> str:
        one = self.outage
        return f"{one.session}: outage {one.cause} ({one.code}) {self.began:.1f}..{self.ended:.1f}"


async def all_events(truth: Truth) -> Sequence[StoredEvent]:
    """Return every event that is stored."""
    found: list[StoredEvent] = []
    position = 0
    while True:
        page = await truth.world.perene.feed.after(position, session=None, types=(), limit=5000)
        found += page.items
        position = page.position
        if len(page.items) < 5000:
            return found


async def untrue(truth: Truth, sessions: Sequence[SessionId]) -> list[str]:
    """Return what outages and events tell wrongly, or do not tell."""
    events = await all_events(truth)
    of_session: dict[SessionId, list[StoredEvent]] = defaultdict(list)
    for one in events:
        of_session[one.session].append(one)
    numbers = [one.seq for one in events]
    found = [] if numbers == sorted(set(numbers)) else ["the numbers of events are not in order"]
    for session in sessions:
        page = await truth.world.perene.sessions.outages(session, cursor=None, limit=10_000)
        rows = [_row(one, truth) for one in reversed(page.items)]
        judge = _Judge(truth, session, rows, of_session[session])
        found += [*judge.rows_untrue(), *judge.not_told(), *judge.events_untrue()]
    return found


def _was_logged_out(attempt: Attempt, row: _Row) -> bool:
    """Tell whether it may be that somebody had asked for a logout, which then is no loss."""
    if row.outage.end is not OutageEnd.LOGGED_OUT or attempt.gone_at is None:
        return False
    unlinked = attempt.evidence in (("stream_error", "401"), ("failure", "401"))
    return unlinked and attempt.gone_at >= row.ended - NOTICED_S


def _row(outage: Outage, truth: Truth) -> _Row:
    ended = truth.now if outage.ended_at is None else _second(outage.ended_at)
    return _Row(outage=outage, began=_second(outage.began_at), ended=ended)


def _second(moment: datetime) -> float:
    return (moment - START).total_seconds()


class _Judge:
    """Compares what is told of one session with what happened to it."""

    def __init__(
        self,
        truth: Truth,
        session: SessionId,
        rows: Sequence[_Row],
        events: Sequence[StoredEvent],
    ) -> None:
        self._truth = truth
        self._session = session
        self._attempts = truth.attempts[session]
        self._rows = rows
        self._events = events

    # --- outages ----------------------------------------------------------------------------------

    def rows_untrue(self) -> Iterator[str]:
        for one, following in pairwise(self._rows):
            if one.outage.ended_at is None or (
                one.ended > following.began and not self._was_set(one)
            ):
                yield f"{one}: another began before it was over"
        for row in self._rows:
            if row.ended < row.began:
                yield f"{row}: it ended before it began"
            if not self._was_set(row):
                yield from self._row_untrue(row)

    def _row_untrue(self, row: _Row) -> Iterator[str]:
        # Linked, restarted, and refused in one moment: any of these may have been the beginning.
        found = [list(self._untrue_from(place, row)) for place in self._lost_at(row)]
        yield from min(found, key=len, default=[f"{row}: no connection was lost then"])

    def _untrue_from(self, place: int, row: _Row) -> Iterator[str]:
        first = self._attempts[place]
        if first.evidence is not None and row.outage.cause is not Cause.SERVICE_ENDED:
            told = (row.outage.kind.value, row.outage.code)
            if told != first.evidence:
                yield f"{row}: {told} was told of {first.evidence}"
        tried = [one for one in self._attempts[place + 1 :] if one.at <= row.ended + 1e-3]
        cut_short = sum(row.began < at <= row.ended for at in self._truth.ends)
        # What begins in the moment that a row is over may be the first attempt to pair anew.
        least = sum(one.at < row.ended - 1e-3 for one in tried)
        if not least <= row.outage.attempts <= len(tried) + cut_short:
            yield f"{row}: {row.outage.attempts} attempts were told, {len(tried)} were made"
        yield from self._losses_untrue(row, first, tried)
        if row.outage.end is OutageEnd.RECOVERED and not self._was_stable(row):
            yield f"{row}: it was not up when it was told to be"

    def _losses_untrue(self, row: _Row, first: Attempt, tried: Sequence[Attempt]) -> Iterator[str]:
        lost = [
            one
            for one in (first, *tried)
            if one.gone_at is not None and one.gone_at <= row.ended + 1e-3
        ]
        known = Counter(
            one.evidence
            for one in lost
            if one.evidence is not None
            and not _was_logged_out(one, row)
            and not self._was_unseen(one)
        )
        told = Counter[tuple[str, str]]()
        for loss in row.outage.losses:
            told[loss.kind.value, loss.code] += loss.times
        if row.outage.cause is Cause.SERVICE_ENDED and first.evidence is not None:
            known[first.evidence] -= 1
        if len(row.outage.losses) < MOST_LOSSES and (missing := known - told):
            yield f"{row}: of its losses {dict(missing)} were not told"
        most = len(lost) + sum(row.began < at <= row.ended for at in self._truth.ends)
        if told.total() > most:
            yield f"{row}: {told.total()} losses were told, {most} happened"

    def _was_unseen(self, attempt: Attempt) -> bool:
        """Tell whether Perene ended in the moment in which the connection did."""
        gone_at = attempt.gone_at
        return gone_at is not None and any(abs(at - gone_at) < 1e-3 for at in self._truth.ends)

    def _lost_at(self, row: _Row) -> Sequence[int]:
        """Return the places of the attempts whose end may have begun an outage."""
        early = 1.0 if row.outage.cause is Cause.SERVICE_ENDED else 1e-3
        return [
            place
            for place, one in enumerate(self._attempts)
            if one.gone_at is not None and -early <= row.began - one.gone_at <= NOTICED_S
        ]

    def _was_stable(self, row: _Row) -> bool:
        since = row.ended - STABLE_AFTER.total_seconds() + 1e-3
        return any(
            one.logged_in_at is not None
            and one.logged_in_at <= since
            and (one.gone_at is None or one.gone_at >= row.ended - 1e-3)
            for one in self._attempts
        )

    def _was_set(self, row: _Row) -> bool:
        return any(row.began - SET_S < at < row.ended + SET_S for at in self._truth.jumps)

    # --- what is missing --------------------------------------------------------------------------

    def not_told(self) -> Iterator[str]:
        """Yield the times without a connection of which no outage tells."""
        ups = [one for one in self._attempts if one.logged_in_at is not None]
        for one, following in pairwise(ups):
            assert following.logged_in_at is not None
            if one.gone_at is None or one.logged_in_at is None:
                continue
            down = one.gone_at, following.logged_in_at
            saved = one.gone_at - one.logged_in_at > _SAVED_S
            if down[1] - down[0] <= BLINK_S or self._is_told(*down):
                continue
            if one.by is By.KILL and not saved:
                continue
            if one.by is By.PERENE and one.gone_at in self._truth.ends and not saved:
                continue
            yield (
                f"{self._session}: no outage tells that it was down {down[0]:.1f}..{down[1]:.1f}"
                f" ({one.by}, {one.evidence})"
            )

    def _is_told(self, began: float, ended: float) -> bool:
        if any(began - SET_S < at < ended + SET_S for at in self._truth.jumps):
            return True
        for row in self._rows:
            if row.began <= began + NOTICED_S and row.ended >= ended:
                return True
            by_person = row.outage.end in (OutageEnd.STOPPED, OutageEnd.LOGGED_OUT)
            if by_person and began - 1 <= row.ended <= ended:
                return True  # nobody wanted it up from then on, or it had to be paired
        return any(
            one.event.type is EventType.SESSION_DISCONNECTED
            and one.event.payload["cause"] in (Cause.STOPPED, Cause.RESTARTED)
            and abs(_second(one.event.at) - began) < NOTICED_S
            for one in self._events
        )

    # --- events -----------------------------------------------------------------------------------

    def events_untrue(self) -> Iterator[str]:
        by_id = {str(row.outage.id): row for row in self._rows}
        recovered = Counter[str]()
        connected_at: float | None = None
        for stored in self._events:
            event, at = stored.event, _second(stored.event.at)
            match event.type:
                case EventType.SESSION_CONNECTED:
                    if connected_at is not None and not self._was_cut_short(connected_at, at):
                        yield f"{self._session}: connected at {connected_at:.1f}, again {at:.1f}"
                    connected_at = at
                case EventType.SESSION_DISCONNECTED:
                    connected_at = None
                    yield from self._loss_untold(stored, by_id)
                case EventType.SESSION_RECOVERED:
                    recovered[str(event.payload["outage"])] += 1
                    yield from self._recovery_untrue(stored, by_id)
                case _:
                    pass
        for row in self._rows:
            if recovered[row.outage.id] != (row.outage.end is OutageEnd.RECOVERED):
                yield f"{row}: told {recovered[row.outage.id]} times as recovered"

    def _was_cut_short(self, connected_at: float, again_at: float) -> bool:
        """Tell whether the clock was set meanwhile, by which nobody can compare."""
        return any(connected_at - SET_S < at < again_at + SET_S for at in self._truth.jumps)

    def _loss_untold(self, stored: StoredEvent, rows: dict[str, _Row]) -> Iterator[str]:
        payload = stored.event.payload
        if "outage" not in payload:
            return
        row = rows.get(str(payload["outage"]))
        if row is None:
            yield f"{self._session}: an event names the outage {payload['outage']}, which is none"
        elif payload["cause"] in _ASKED_FOR:
            return  # somebody wanted the connection to end
        elif len(row.outage.losses) < MOST_LOSSES and not any(
            (loss.cause, loss.code) == (payload["cause"], payload["code"])
            for loss in row.outage.losses
        ):
            yield f"{row}: the event's {payload['cause']} ({payload['code']}) is no loss of it"

    def _recovery_untrue(self, stored: StoredEvent, rows: dict[str, _Row]) -> Iterator[str]:
        payload = stored.event.payload
        row = rows.get(str(payload["outage"]))
        if row is None:
            yield f"{self._session}: recovered from the outage {payload['outage']}, which is none"
            return
        lasted = payload["lasted_s"]
        assert isinstance(lasted, float)
        agrees = abs(lasted - (row.ended - row.began)) < 1e-3
        if not agrees or payload["attempts"] != row.outage.attempts:
            yield f"{row}: it was told as {dict(payload)}"


def alerts_untrue(truth: Truth, told: Sequence[Told]) -> list[str]:
    """Return what a receiver was told of alerts twice, never, or against the truth."""
    found: list[str] = []
    firing: dict[tuple[str, str], Told] = {}
    for one in told:
        before = firing.pop((one.rule, one.subject), None)
        if not one.over:
            firing[one.rule, one.subject] = one
            if before is not None:
                found.append(f"{one.subject}: {one.rule} was told again before it was over: {one}")
        elif before is None or before.id != one.id:
            found.append(f"{one.subject}: {one.rule} was over before it was told: {one}")
        if one.rule == "session_down" and not one.over and not truth.jumps:
            at = _second(one.at)
            stable = STABLE_AFTER.total_seconds()
            spans = truth.up(SessionId(one.subject))
            if any(
                began < at and ended > max(began + stable, at - _DOWN_S) for began, ended in spans
            ):
                found.append(f"{one.subject}: told as down at {at:.1f}, and was up")
    return found


async def counts_untrue(
    truth: Truth, sessions: Sequence[SessionId], counted: "Counter[str]"
) -> list[str]:
    """Return which counters differ from what events and outages tell, over all lives.

    A service that ends while the database is away, or soon after, has counted what it did not save.
    """
    told = Counter[str]()
    for stored in await all_events(truth):
        if stored.event.type is EventType.SESSION_DISCONNECTED:
            told[f"perene_disconnects_total|cause={stored.event.payload['cause']}"] += 1
    for session in sessions:
        page = await truth.world.perene.sessions.outages(session, cursor=None, limit=10_000)
        for one in page.items:
            if one.end is not None:
                told[f"perene_outages_total|end={one.end.value}"] += 1
    names = {name for name in counted if name.startswith(("perene_disconnects", "perene_outages"))}
    unsaved = truth.hasty * len(sessions)
    return [
        f"{name} is {counted[name]}, and {told[name]} were told"
        for name in sorted(names | set(told))
        if not told[name] <= counted[name] <= told[name] + unsaved
    ]
