"""The reference of a session's states, drawn from what the machines do when all is tried."""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from perene.core.causes import Cause, Ending, Kind, Local, classify
from perene.core.clock import Instant
from perene.core.ids import Epoch, SessionId
from perene.core.machines import inputs, signals
from perene.core.machines.inputs import Input
from perene.core.machines.session import MACHINES, Machine, new_session, next_deadline, step
from perene.core.machines.signals import Signal
from perene.core.machines.state import Chances, Moved, SessionState
from perene.core.outages import OutageId
from perene.core.policy import POLICIES, Count

_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_CHANCES = Chances(
    jitter=0.5,
    outage_id=OutageId("one"),
    # A limit of one shows what follows the last attempt as soon as the second.
    policies={
        cause: replace(policy, limit=None if policy.limit is None else 1)
        for cause, policy in POLICIES.items()
    },
)

Edges = dict[tuple[str, str], set[str]]
"""What leads from one state to another."""

_INTRODUCTION = """\
# The states of a session

What a session does is decided by machines that hear each other, each a pure function
(`core/machines`). These diagrams are drawn from the functions themselves: every input in every
state that can be reached. What leaves a state as it is, is left out. What stands in *italics* is
told by another machine; the rest comes from people, WhatsApp, the database or time.
"""

_ABOUT = {
    "connection": "The socket, from the wish to be online to being open, and back after every loss."
    " After `ended` stands the reaction to its cause (`perene policy`).",
    "pairing": "Whether there are credentials. Only an explicit logout destroys them.",
    "ownership": "Whom the session belongs to: a fresh epoch for each connection, and for each end"
    " of credentials.",
    "phone": "Whether the phone is listened for: only on an open connection can it be heard.",
}


def outputs() -> Mapping[str, str]:
    """Return the page by its path."""
    edges = explore()
    parts = [_INTRODUCTION]
    for machine, about in _ABOUT.items():
        lines = ["```mermaid", "stateDiagram-v2"]
        for (before, after), labels in sorted(edges[machine].items()):
            lines.append(f"    {before} --> {after}: {', '.join(_gathered(labels))}")
        parts.append("\n".join([f"## {machine.capitalize()}", about, "", *lines, "```", ""]))
    return {"docs/reference/session-states.md": "\n".join(parts)}


def explore() -> dict[str, Edges]:
    """Give every input in every state that can be reached; return the moves of each machine."""
    edges: dict[str, Edges] = defaultdict(lambda: defaultdict(set))
    to_try = deque(new_session(SessionId("ana"), paired=paired) for paired in (False, True))
    seen = set[object]()
    watched = {name: _watched(name, machine, edges[name]) for name, machine in MACHINES.items()}
    while to_try:
        state = to_try.popleft()
        if _key(state) in seen:
            continue
        seen.add(_key(state))
        for given in _inputs(state):
            to_try.append(step(state, given, _moment(state), _CHANCES, watched).state)
    return edges


def _watched(name: str, machine: Machine, moves: Edges) -> Machine:
    """Return the machine, with its moves noted."""

    def watched(
        state: SessionState, heard: Input | Signal, now: Instant, chances: Chances
    ) -> Moved:
        moved = machine(state, heard, now, chances)
        before, after = _part(state, name), _part(moved.state, name)
        if before != after:
            moves[before, after].add(_label(heard))
        return moved

    return watched


def _inputs(state: SessionState) -> Iterator[Input]:
    epoch = Epoch((state.epoch or 0) % 2 + 1)
    now = _moment(state)
    for by_person in (True, False):
        yield inputs.Start(by_person=by_person)
        yield inputs.Stop(by_person=by_person)
    for ok in (True, False):
        yield inputs.Archived(ok=ok)
        yield inputs.Destroyed(ok=ok)
        yield inputs.VersionFound(found=ok)
        yield inputs.NotAcquired(taken=ok)
    yield inputs.Restart()
    yield inputs.LogOut()
    yield inputs.Acquired(epoch=epoch)
    yield inputs.PhoneAccepted()
    yield inputs.LoggedIn(at=now)
    yield inputs.Due()
    yield from (inputs.Ended(ending=ending) for ending in _ENDINGS.values())


def _moment(state: SessionState) -> Instant:
    """Return the state's deadline, so that `Due` does something; else the beginning."""
    seconds = next_deadline(state) or 0.0
    return Instant(wall=_BEGAN + timedelta(seconds=seconds), monotonic=seconds)


_CAUSES = (
    # One for each reaction, and for each thing that can follow a limit.
    Cause.NETWORK,
    Cause.RESTART_REQUIRED,
    Cause.UNKNOWN,
    Cause.TEMPORARY_BAN,
    Cause.UNLINKED,
    Cause.LOCKED,
    Cause.REPLACED,
    Cause.OWNERSHIP_LOST,
    Cause.OUTDATED,
    Cause.STORAGE,
    Cause.STOPPED,
)


def _all_endings() -> Iterator[Ending]:
    for code in map(str, range(400, 520)):
        yield Ending(kind=Kind.FAILURE, code=code)
        yield Ending(kind=Kind.STREAM_ERROR, code=code)
    for local in Local:
        yield Ending(kind=Kind.LOCAL, code=local)


_OF_CAUSE = {classify(ending): ending for ending in _all_endings()}
_ENDINGS: Mapping[Cause, Ending] = {cause: _OF_CAUSE[cause] for cause in _CAUSES}


def _part(state: SessionState, machine: str) -> str:
    if machine == "outage":
        return "kept" if state.standing.outage else "none"
    return type(getattr(state, machine)).__name__


def _key(state: SessionState) -> object:
    """Return what tells states apart that may go on differently; times and numbers do not."""
    connection, standing = state.connection, state.standing
    return (
        tuple(_part(state, machine) for machine in ("connection", "pairing", "ownership")),
        tuple(
            getattr(connection, name, None)
            for name in ("parting", "stable", "then", "again", "exhausted")
        ),
        getattr(connection, "cause", None) is Cause.OUTDATED,
        standing.held is None,
        standing.ban_code is None,
        standing.counted(Count.RESTARTS) > 0,
        standing.counted(Count.VERSIONS) > 0,
    )


_ENDED = frozenset(f"ended ({POLICIES[cause].reaction.value})" for cause in _CAUSES)


def _gathered(labels: set[str]) -> list[str]:
    """Return the labels in order; whatever end of a connection is one of them."""
    return sorted(labels - _ENDED | {"ended"} if labels >= _ENDED else labels)


def _label(heard: Input | Signal) -> str:
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in type(heard).__name__).strip()
    if isinstance(heard, inputs.Ended):
        return f"ended ({POLICIES[classify(heard.ending)].reaction.value})"
    for name in ("ok", "found"):
        if getattr(heard, name, None) is False:
            return f"not {words}"
    if isinstance(heard, inputs.NotAcquired):
        return "taken" if heard.taken else "no answer"
    return f"*{words}*" if isinstance(heard, signals.Signal) else words
