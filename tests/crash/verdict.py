"""What must hold after a crash run: nothing lost, nothing doubled, no key used twice."""

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.crash.flow import Sent, Traffic, World, repeat
from tests.crash.processes import Service, Simulator

_SHOWN = 12
"""How many ids one sentence about a problem names."""


@dataclass(slots=True, kw_only=True)
class Evidence:
    """Everything both sides say, read once when all is settled."""

    delivered: dict[str, list[Any]]
    stored: dict[str, list[Any]]
    inboxes: dict[str, Any]
    received_events: list[Any]
    stats: Any
    repeated: dict[str, str]
    """The id that each key got when it was asked for again."""


async def collect(
    service: Service, simulator: Simulator, world: World, traffic: Traffic
) -> Evidence:
    """Ask every key again, then read what the simulator saw and what the service stored."""
    repeated: dict[str, str] = {}
    for chat in traffic.sent.values():
        ids = await asyncio.gather(*(repeat(service, one) for one in chat))
        repeated |= {one.key: found for one, found in zip(chat, ids, strict=True)}
    people = [*world.contacts, *world.sessions.values()]
    return Evidence(
        repeated=repeated,
        delivered={
            session: await simulator.ask("GET", f"/accounts/{phone}/delivered")
            for session, phone in world.sessions.items()
        },
        stored={
            session: await service.pages(f"/v1/sessions/{session}/messages", limit=100, order="asc")
            for session in world.sessions
        },
        inboxes={phone: await simulator.ask("GET", f"/accounts/{phone}/inbox") for phone in people},
        received_events=await service.events("message.received"),
        stats=await simulator.ask("GET", "/stats"),
    )


def problems(world: World, traffic: Traffic, evidence: Evidence) -> list[str]:
    """Return a sentence for everything that does not hold, with the ids concerned."""
    return [
        *(f"the API refused: {refusal}" for refusal in traffic.refused),
        *_inbound(world, traffic, evidence),
        *_outbound(world, traffic, evidence),
        *_wire(evidence),
    ]


def expected_at(session: str, world: World, traffic: Traffic) -> dict[str, tuple[str, str]]:
    """Return chat and text, by id, of every message that the simulator must deliver to a session.

    The chat is the other person's number, or the group.
    """
    phone = world.sessions[session]
    expected: dict[str, tuple[str, str]] = {}
    for one in traffic.written:
        if one.to == world.group or phone in (one.to, one.sender):
            expected[one.id] = (one.sender if one.to == phone else one.to, one.text)
    for one in traffic.all_sent:
        if one.to == world.group and one.session != session:
            expected[one.id] = (world.group, one.text)
    return expected


# --- in ---------------------------------------------------------------------------------------


def _inbound(world: World, traffic: Traffic, evidence: Evidence) -> Iterable[str]:
    received = Counter(
        (event["session"], event["payload"]["message_id"]) for event in evidence.received_events
    )
    for session in world.sessions:
        expected = expected_at(session, world, traffic)
        own = {one.id: one for one in traffic.all_sent if one.session == session}
        delivered = [one["id"] for one in evidence.delivered[session] if one["id"] in expected]
        stored = evidence.stored[session]
        counts = Counter(one["id"] for one in stored)
        who = f"session {session}"
        yield from _named(f"{who}: not delivered", set(expected) - set(delivered))
        yield from _named(f"{who}: delivered, but lost", set(delivered) - set(counts))
        yield from _named(f"{who}: stored twice", [m for m, n in counts.items() if n > 1])
        yield from _named(f"{who}: from nowhere", set(counts) - set(expected) - set(own))
        yield from _named(
            f"{who}: another text than was written",
            [m["id"] for m in stored if m["id"] in expected and m["text"] != expected[m["id"]][1]],
        )
        yield from _named(
            f"{who}: not exactly one event",
            [m for m in delivered if received[session, m] != 1],
        )
        yield from _order(who, stored, delivered, expected)


def _order(
    who: str, stored: Sequence[Any], delivered: Sequence[str], expected: dict[str, tuple[str, str]]
) -> Iterable[str]:
    """Compare, chat by chat, the order of storing with the order of delivery."""
    shown = {one["id"]: one["chat"] for one in stored}
    names: dict[str, set[str]] = defaultdict(set)
    for message_id, (chat, _) in expected.items():
        if message_id in shown:
            names[chat].add(shown[message_id])
    yield from _named(f"{who}: chats under several names", [c for c in names if len(names[c]) > 1])
    # What the other session sent again after a kill is delivered again: its first time counts.
    places = {one: place for place, one in reversed(list(enumerate(delivered)))}
    for chat in names:
        ids = [one["id"] for one in stored if expected.get(one["id"], ("", ""))[0] == chat]
        kept = [one for one in ids if one in places]
        wrong = [
            later for earlier, later in itertools.pairwise(kept) if places[later] < places[earlier]
        ]
        yield from _named(f"{who}: order changed in chat {chat}", wrong)


# --- out --------------------------------------------------------------------------------------


def _outbound(world: World, traffic: Traffic, evidence: Evidence) -> Iterable[str]:
    status = {
        (session, one["id"]): one["status"]
        for session, stored in evidence.stored.items()
        for one in stored
        if one["from_me"]
    }
    everything = traffic.all_sent
    yield from _named(
        "accepted, but not stored as sent",
        [
            f"{one.id} ({status.get((one.session, one.id), 'missing')})"
            for one in everything
            if status.get((one.session, one.id)) not in ("sent", "delivered", "read")
        ],
    )
    yield from _named(
        "another id when asked again",
        [one.key for one in everything if evidence.repeated[one.key] != one.id],
    )
    ids = Counter(one.id for one in everything)
    yield from _named("one id for several sends", [m for m, count in ids.items() if count > 1])
    for (session, to), sent in traffic.sent.items():
        readers = readers_of(session, to, world)
        for reader in readers:
            yield from _reader(world.sessions[session], reader, sent, evidence.inboxes[reader])


def readers_of(session: str, to: str, world: World) -> list[str]:
    """Return the numbers of the phones that must read what a session sends."""
    own = world.sessions[session]
    if to == world.group:
        return [*world.contacts, *world.sessions.values()]
    return [to, own]


def _reader(sender: str, reader: str, sent: Sequence[Sent], inbox: Any) -> Iterable[str]:
    texts = {one.id: one.text for one in sent}
    read = [one for one in inbox["messages"] if one["sender"] == sender and one["id"] in texts]
    counts = Counter(one["id"] for one in read)
    where = f"from {sender} to {reader}"
    yield from _named(f"{where}: accepted, but lost", set(texts) - set(counts))
    yield from _named(f"{where}: read twice", [m for m, count in counts.items() if count > 1])
    yield from _named(
        f"{where}: another text than was sent",
        [one["id"] for one in read if one["text"] != texts[one["id"]]],
    )
    order = [one["id"] for one in read]
    wanted = [one.id for one in sent if one.id in counts]
    if order != wanted and len(order) == len(wanted):
        first = next(m for m, w in zip(order, wanted, strict=True) if m != w)
        yield f"{where}: order changed from {first} on"


# --- between ----------------------------------------------------------------------------------


def _wire(evidence: Evidence) -> Iterable[str]:
    companions, people = evidence.stats["companion_stanzas"], evidence.stats["people"]
    for reused in evidence.stats["reused_keys"]:
        yield f"message key used twice: {reused}"
    for name in ("keys_reused", "held", "unanswered"):
        if companions[name]:
            yield f"stanzas of the sessions, {name}: {companions[name]}"
    if people.get("undecryptable"):
        yield f"messages that people could not read at first: {people['undecryptable']}"
    if companions["retries_asked"]:
        yield f"messages that the sessions could not read at first: {companions['retries_asked']}"


def _named(what: str, ids: Iterable[str]) -> Iterable[str]:
    found = list(ids)
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        yield f"{what}: {len(found)}: {', '.join(found[:_SHOWN])}{more}"
