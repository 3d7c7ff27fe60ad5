"""Every way to ask how the sessions are, compared with each other and with what is so."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from perene.cli.session_text import session_page, sessions_table
from perene.core.ids import SessionId
from perene.core.sessions import Connection as State
from tests.support.onlooker import Onlooker
from tests.support.truth import Truth

_SHARED = (
    "connection",
    "connected_at",
    "alive_at",
    "cause",
    "attempt",
    "limit",
    "retry_at",
    "outage_began_at",
    "deaf_suspicions",
)
"""What the details of health and a session tell in the same words."""

_LATE_S = 1.0
"""How long after its time an attempt may be made: it waits for its turn."""

_BUSY = (State.CONNECTING, State.LOGGING_IN, State.PAIRING, State.OPEN)


async def disagreements(
    onlooker: Onlooker, truth: Truth, sessions: Sequence[SessionId]
) -> list[str]:
    """Return what is told differently in two places, or otherwise than it is.

    Call it when nothing is under way, and the database is well.
    """
    listed: list[dict[str, Any]] = (await onlooker.get("/v1/sessions"))["items"]
    detailed = (await onlooker.get("/health/detailed"))["sessions"]
    health = await onlooker.get("/health")
    sample = await onlooker.sample()
    states = Counter(one["connection"] for one in listed)
    metric = {state.value: sample[f"perene_sessions|state={state}"] for state in State}
    found: list[str] = []
    if {one["id"] for one in listed} != set(sessions):
        found.append(f"the list is of {[one['id'] for one in listed]}")
    if Counter(health["sessions"]) != states:
        found.append(f"/health counts {health['sessions']}, the list {dict(states)}")
    if Counter({name: int(n) for name, n in metric.items()}) != states:
        found.append(f"the metrics count {metric}, the list {dict(states)}")
    if sum(metric.values()) != len(sessions):
        found.append(f"the metrics count {sum(metric.values())} of {len(sessions)} sessions")
    by_id = {one["id"]: one for one in detailed}
    now = truth.world.clock.now()
    for one in listed:
        name = SessionId(one["id"])
        alone = await onlooker.session(name)
        outages = (await onlooker.get(f"/v1/sessions/{name}/outages"))["items"]
        told = [
            *_different("/health/detailed", {key: by_id[name][key] for key in _SHARED}, one),
            *_different("/v1/sessions/{id}", alone, one),
            *_row_differs(one, outages),
            *_untrue(one, truth, now),
            *_unshown(one, outages, now),
        ]
        found += [f"{name} at {truth.now:.3f}: {what}" for what in told]
    return found


def _different(place: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[str]:
    for key, value in there.items():
        if here[key] != value:
            yield f"{key} is {here[key]!r}, at {place} {value!r}"


def _row_differs(one: Mapping[str, Any], outages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    lasting = [row for row in outages if row["ended_at"] is None]
    began = lasting[0]["began_at"] if lasting else None
    if lasting[1:] or (lasting and lasting[0] is not outages[0]):
        yield "an outage that lasts is not the first"
    if one["outage_began_at"] != began:
        yield f"it is down since {one['outage_began_at']}, by its outages since {began}"
    if not lasting:
        return
    row = lasting[0]
    if one["connection"] != State.OPEN and row["last_cause"] != one["cause"]:
        yield f"its cause is {one['cause']}, that of its outage {row['last_cause']}"
    if row["retry_at"] != one["retry_at"]:
        yield f"it tries again at {one['retry_at']}, by its outage {row['retry_at']}"
    if row["attempts"] < sum(loss["times"] for loss in row["losses"]) - 1:
        yield f"{row['attempts']} attempts ended in {row['losses']}"


def _untrue(one: Mapping[str, Any], truth: Truth, now: datetime) -> Iterator[str]:
    name, connection = SessionId(one["id"]), State(one["connection"])
    there = truth.logged_in(name)
    is_there = there is not None and not there.is_dead
    if connection is State.OPEN and truth.world.network.open_now(name) == 0:
        yield "it is shown as open, and has no connection"
    if connection is State.OPEN and there is None and not _is_deceived(truth, name):
        yield "it is shown as open, and is not logged in"
    if is_there and connection not in _BUSY:
        yield f"it is logged in, and shown as {connection}"
    if connection not in _BUSY and truth.world.network.open_now(name):
        yield f"it has a connection, and is shown as {connection}"
    yield from _inconsistent(one, connection)
    if not truth.jumps:
        yield from _overdue(one, now)


def _inconsistent(one: Mapping[str, Any], connection: State) -> Iterator[str]:
    if (one["connected_at"] is not None) is not (connection is State.OPEN):
        yield f"it is {connection}, and connected since {one['connected_at']}"
    if one["retry_at"] is not None and connection is not State.WAITING:
        yield f"it is {connection}, and tries again at {one['retry_at']}"
    if connection is State.OPEN and one["cause"] is not None:
        yield f"it is open, and down for {one['cause']}"
    if connection is State.NEEDS_ATTENTION and not one["last_error"]:
        yield "it needs attention, and nobody says why"


def _overdue(one: Mapping[str, Any], now: datetime) -> Iterator[str]:
    if one["retry_at"] is not None:
        late = (now - datetime.fromisoformat(one["retry_at"])).total_seconds()
        if late > _LATE_S:
            yield f"its next attempt should have been made {late:.1f} s ago"
    if one["ban"] is not None and datetime.fromisoformat(one["ban"]["until"]) < now:
        yield f"its ban is over since {one['ban']['until']}"


def _is_deceived(truth: Truth, session: SessionId) -> bool:
    """Tell whether the server has gone behind a connection that brings nothing any more."""
    return any(
        one.is_dead for one in truth.attempts[session] if one.logged_in_at and one.gone_at is None
    ) or bool(
        truth.world.network.is_connected(session) and truth.world.network.wire(session).half_open
    )


def _unshown(
    one: Mapping[str, Any], outages: Sequence[Mapping[str, Any]], now: datetime
) -> Iterator[str]:
    state = str(one["connection"]).replace("_", " ")
    page = session_page(dict(one), [dict(row) for row in outages], {}, now)
    if state not in page or state not in sessions_table([dict(one)], now):
        yield f"`perene session show` does not say that it is {state}"
    if any(f"{row['attempts']}" not in page for row in outages):
        yield "`perene session show` does not show the attempts"
    if "-" in "".join(_spans(page)):
        yield "`perene session show` shows a time that runs backwards"


def _spans(page: str) -> Iterator[str]:
    """Yield how long each outage lasted, as it is printed."""
    lines = page.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("BEGAN"):
            place = line.index("LASTED"), line.index("ATTEMPTS")
            yield from (row[place[0] : place[1]].strip() for row in lines[number + 1 :])
