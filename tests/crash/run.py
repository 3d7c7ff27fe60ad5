"""A crash run from beginning to end: traffic, kills, calm, and the verdict."""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.crash.flow import Traffic, World, send, write
from tests.crash.kills import Kill, plan
from tests.crash.processes import Service, Simulator
from tests.crash.verdict import Evidence, collect, expected_at, problems, readers_of

_SETTLES_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do: how often to kill, what chance says, and how much is written meanwhile."""

    kills: int
    seed: int
    contacts: int = 6
    per_second: float = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it. `problems` is empty when everything held."""

    problems: list[str]
    counts: dict[str, int]
    settled_in_s: float
    took_s: float


async def run(
    folder: Path,
    wanted: Plan,
    *,
    database_url: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Kill a service `wanted.kills` times while messages come and go, and compare at the end."""
    begun = time.monotonic()
    simulator = Simulator(folder)
    await simulator.start()
    service = Service(folder, simulator, database_url)
    try:
        await service.start_first()
        world = await _meet(service, simulator, wanted)
        traffic = Traffic()
        await _kill_amid_traffic(service, simulator, world, traffic, wanted, tell)
        tell("waiting until everything has settled")
        settling = time.monotonic()
        open_questions = await _settled(service, simulator, world, traffic)
        settled_in_s = time.monotonic() - settling
        evidence = await collect(service, simulator, world, traffic)
        found = [*problems(world, traffic, evidence), *service.errors()]
        if found or open_questions:
            _keep(folder, world, traffic, evidence)
        if open_questions:
            found.append(f"not settled within {_SETTLES_WITHIN_S:.0f} s: {open_questions}")
        return Outcome(
            problems=found,
            counts=_counts(world, traffic, evidence, wanted),
            settled_in_s=settled_in_s,
            took_s=time.monotonic() - begun,
        )
    finally:
        try:
            await service.close()
        finally:
            await simulator.close()


async def _meet(service: Service, simulator: Simulator, wanted: Plan) -> World:
    """Pair two sessions, one with a person known by number, and found a group of everybody."""
    half = wanted.contacts // 2
    contacts: list[str] = []
    for addressing, count in (("lid", wanted.contacts - half), ("pn", half)):
        form = {"addressing": addressing, "count": count}
        contacts += [one["phone"] for one in await simulator.ask("POST", "/contacts", json=form)]
    sessions = {name: await service.pair(simulator, name) for name in ("ana", "rui")}
    for name in sessions:
        await service.connected(name)
    group = await simulator.ask(
        "POST",
        "/groups",
        json={
            "subject": "Everybody",
            "creator": contacts[0],
            "members": [*contacts[1:], *sessions.values()],
        },
    )
    return World(sessions=sessions, contacts=contacts, group=group["jid"])


async def _is_open(service: Service, session: str) -> bool:
    return (await service.ask("GET", f"/v1/sessions/{session}"))["connection"] == "open"


async def _kill_amid_traffic(
    service: Service,
    simulator: Simulator,
    world: World,
    traffic: Traffic,
    wanted: Plan,
    tell: Callable[[str], None],
) -> None:
    def chance(use: str) -> random.Random:
        return random.Random(f"{wanted.seed} {use}")

    chats = [(name, to) for name in world.sessions for to in (*world.contacts[:2], world.group)]
    stop = asyncio.Event()
    flow = [
        asyncio.create_task(
            write(simulator, world, traffic, chance("write"), wanted.per_second, stop)
        ),
        *(
            asyncio.create_task(send(service, world, traffic, chat, chance(f"send {number}"), stop))
            for number, chat in enumerate(chats)
        ),
    ]
    try:
        for number, kill in enumerate(plan(wanted.kills, chance("kill")), 1):
            await _live_and_die(service, kill)
            await service.spawn()
            if number % 10 == 0:
                total = len(traffic.written), len(traffic.all_sent)
                tell(f"{number} kills, {total[0]} written, {total[1]} sent")
            for task in flow:
                if task.done():
                    task.result()  # none ends by itself but with an error
        await service.greeted()
        stop.set()
        await asyncio.gather(*flow)
    finally:
        for task in flow:
            task.cancel()
        await asyncio.gather(*flow, return_exceptions=True)


async def _live_and_die(service: Service, kill: Kill) -> None:
    """Let the process live for as long as was drawn, and no longer."""
    if kill.serving:
        await service.greeted()
    await service.lives_for(kill.delay_s)
    await service.kill()


async def _settled(service: Service, simulator: Simulator, world: World, traffic: Traffic) -> str:
    """Wait until nothing is under way any more; return what still is when patience ends."""
    still = "the service tells nothing"
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_SETTLES_WITHIN_S), contextlib.aclosing(service.news()) as news:
            async for _ in news:
                still = await _under_way(service, simulator, world, traffic)
                if not still:
                    break
    return still


async def _under_way(service: Service, simulator: Simulator, world: World, traffic: Traffic) -> str:
    for session, phone in world.sessions.items():
        if not await _is_open(service, session):
            return f"session {session} is not connected"
        delivered = await simulator.ask("GET", f"/accounts/{phone}/delivered")
        missing = set(expected_at(session, world, traffic)) - {one["id"] for one in delivered}
        if missing:
            return f"{len(missing)} messages to session {session} are not delivered"
    for (session, to), sent in traffic.sent.items():
        for reader in readers_of(session, to, world):
            inbox = await simulator.ask("GET", f"/accounts/{reader}/inbox")
            missing = {one.id for one in sent} - {one["id"] for one in inbox["messages"]}
            if missing:
                return f"{len(missing)} messages of session {session} have not reached {reader}"
    companions = (await simulator.ask("GET", "/stats"))["companion_stanzas"]
    if companions["held"]:
        return f"{companions['held']} stanzas are not answered"
    for session in world.sessions:
        newest = await service.ask("GET", f"/v1/sessions/{session}/messages?limit=100")
        if any(one["status"] == "queued" for one in newest["items"]):
            return f"messages of session {session} are still queued"
    return ""


def _keep(folder: Path, world: World, traffic: Traffic, evidence: Evidence) -> None:
    """Write down what both sides said, for whoever looks for the cause."""
    told = {
        "world": asdict(world),
        "written": [asdict(one) for one in traffic.written],
        "sent": [asdict(one) for one in traffic.all_sent],
        **asdict(evidence),
    }
    (folder / "evidence.json").write_text(json.dumps(told, indent=1))


def _counts(world: World, traffic: Traffic, evidence: Evidence, wanted: Plan) -> dict[str, int]:
    expected = {name: expected_at(name, world, traffic) for name in world.sessions}
    stored = {
        name: [one["id"] for one in evidence.stored[name] if one["id"] in expected[name]]
        for name in world.sessions
    }
    sent = traffic.all_sent
    companions, people = evidence.stats["companion_stanzas"], evidence.stats["people"]
    return {
        "kills": wanted.kills,
        "written to the sessions": sum(map(len, expected.values())),
        "stored": sum(len(set(ids)) for ids in stored.values()),
        "stored twice": sum(len(ids) - len(set(ids)) for ids in stored.values()),
        "stanzas delivered again": companions["redelivered"],
        "answers for nothing": companions["answers_for_nothing"],
        "accepted by the API": len(sent),
        "requests repeated": sum(one.attempts - 1 for one in sent),
        "wire duplicates, new ciphertext": people.get("duplicates", 0),
        "wire duplicates, same ciphertext": people.get("repeated", 0),
        "retries asked by the sessions": companions["retries_asked"],
        "retries asked by people": people.get("retries_sent", 0),
        "message keys used twice": len(evidence.stats["reused_keys"]),
        "stanzas unanswered": companions["unanswered"],
    }
