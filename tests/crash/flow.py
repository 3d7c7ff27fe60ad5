"""The traffic of a crash run: what people write to the sessions, and what a program sends."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.crash.processes import Service, Simulator

_AGAIN_S = 0.05
"""How long a client waits before it repeats a request that got no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Who takes part, by phone number; `sessions` maps a session to the number of its phone."""

    sessions: dict[str, str]
    contacts: Sequence[str]
    group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A message that somebody wrote on a phone; `to` is a number or the group."""

    id: str
    sender: str
    to: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A message that the API accepted."""

    id: str
    session: str
    to: str
    text: str
    key: str
    attempts: int


@dataclass(slots=True, kw_only=True)
class Traffic:
    """Everything that happened. A list is in the order in which it was written or accepted."""

    written: list[Written] = field(default_factory=list[Written])
    sent: dict[tuple[str, str], list[Sent]] = field(default_factory=lambda: defaultdict(list[Sent]))
    """By session and recipient: one client at a time writes to one chat, so its order is known."""
    refused: list[str] = field(default_factory=list[str])

    @property
    def all_sent(self) -> list[Sent]:
        """All accepted messages."""
        return [one for chat in self.sent.values() for one in chat]


async def write(
    simulator: Simulator,
    world: World,
    traffic: Traffic,
    rng: random.Random,
    per_second: float,
    stop: asyncio.Event,
) -> None:
    """Let contacts, and now and then the sessions' own phones, write in bursts until told to stop.

    Everything that the simulator took is recorded, also what it took last.
    """
    number = 0
    while not stop.is_set():
        burst = min(30, 1 + int(rng.expovariate(1 / 5)))
        for _ in range(burst):
            number += 1
            sender, to = _who(world, rng)
            text = f"in {number} " + "x" * rng.choice((0, 10, 200))
            message_id = await simulator.send(sender, to, text)
            traffic.written.append(Written(id=message_id, sender=sender, to=to, text=text))
        await asyncio.sleep(rng.uniform(0, 2) * burst / per_second)


def _who(world: World, rng: random.Random) -> tuple[str, str]:
    phone = rng.choice(list(world.sessions.values()))
    contact = rng.choice(world.contacts)
    kind = rng.random()
    if kind < 0.6:
        return contact, phone
    if kind < 0.9:
        return contact, world.group
    # The owner of the session writes on the phone; the session gets a copy.
    return phone, contact if kind < 0.97 else world.group


async def send(
    service: Service,
    world: World,
    traffic: Traffic,
    chat: tuple[str, str],
    rng: random.Random,
    stop: asyncio.Event,
) -> None:
    """Send texts to one chat, one after another, until told to stop.

    Each request is repeated under its Idempotency-Key until it is answered: also the last one, so
    that the client knows the fate of everything it asked for.
    """
    session, to = chat
    number = 0
    while not stop.is_set():
        number += 1
        text = f"out {session} {number}"
        body = {"to": to, "text": text}
        key = f"{session}/{to}/{number}"
        answer, attempts = await _until_answered(service, session, body, key)
        if answer.is_success:
            found: dict[str, Any] = answer.json()
            traffic.sent[chat].append(
                Sent(id=found["id"], session=session, to=to, text=text, key=key, attempts=attempts)
            )
        else:
            traffic.refused.append(f"{key}: {answer.status_code} {answer.text}")
        await asyncio.sleep(rng.expovariate(4))


async def _until_answered(
    service: Service, session: str, body: dict[str, str], key: str
) -> tuple[httpx.Response, int]:
    assert service.http is not None
    attempts = 0
    while True:
        attempts += 1
        try:
            answer = await service.http.post(
                f"/v1/sessions/{session}/messages", json=body, headers={"Idempotency-Key": key}
            )
        except httpx.TransportError:
            await asyncio.sleep(_AGAIN_S)
            continue
        if answer.status_code < 500:
            return answer, attempts
        await asyncio.sleep(_AGAIN_S)


async def repeat(service: Service, sent: Sent) -> str:
    """Ask for a message again as a client does that has lost the answer; return the id it got."""
    body = {"to": sent.to, "text": sent.text}
    answer, _ = await _until_answered(service, sent.session, body, sent.key)
    assert answer.status_code == 200, f"{sent.key}: {answer.status_code} {answer.text}"
    return answer.json()["id"]
