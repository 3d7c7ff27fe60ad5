"""However many requests come, what sessions have to do is done in between."""

import asyncio

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from perene.api.long_answers import LongAnswer
from perene.api.turns import Turns
from perene.core.errors import StorageUnavailable
from tests.support.virtual_clock import VirtualClock
from tests.unit.api.fakes import Fakes

pytestmark = pytest.mark.requirement("C1")

MANY = 50


class Rounds:
    """Notes in which round of the event loop each request begins; each takes `busy_s` of it."""

    def __init__(self, *, busy_s: float = 0.0) -> None:
        self.clock = VirtualClock()
        self.app = Turns(self, self.clock)
        self.round = 0
        self.begun: list[int] = []
        self._busy_s = busy_s

    async def __call__(self, _scope: Scope, _receive: Receive, _send: Send) -> None:
        self.begun.append(self.round)
        await self.clock.advance(self._busy_s)

    async def count(self) -> None:
        """Count until cancelled, as a session that has something to do in each round."""
        while True:
            self.round += 1
            await asyncio.sleep(0)


async def ask(app: Turns, count: int) -> None:
    scope = {"type": "http"}
    await asyncio.gather(*(app(scope, nothing, nowhere) for _ in range(count)))


async def nothing() -> dict[str, object]:
    raise AssertionError("nobody reads")


async def nowhere(_message: object) -> None:
    raise AssertionError("nobody answers")


async def test_one_request_begins_in_each_round_of_the_loop() -> None:
    rounds = Rounds()
    counting = asyncio.create_task(rounds.count())
    await ask(rounds.app, MANY)
    counting.cancel()
    assert len(rounds.begun) == MANY
    assert len(set(rounds.begun)) == MANY, rounds.begun


@pytest.mark.parametrize(("busy_s", "rest_s"), [(0.01, 0.01), (7.0, 0.25)])
async def test_sessions_have_as_long_as_a_request_took(busy_s: float, rest_s: float) -> None:
    rounds = Rounds(busy_s=busy_s)
    asking = asyncio.create_task(ask(rounds.app, 2))
    await rounds.clock.until_asleep(rest_s)
    await rounds.clock.advance(rest_s * 0.9)
    assert len(rounds.begun) == 1
    await rounds.clock.advance(rest_s * 0.2)
    await asking
    assert len(rounds.begun) == 2


async def test_a_client_that_leaves_the_line_stops_nobody() -> None:
    rounds = Rounds()
    asking = [asyncio.create_task(ask(rounds.app, 1)) for _ in range(3)]
    await asyncio.sleep(0)
    asking[1].cancel()
    await asyncio.gather(asking[0], asking[2])
    await ask(rounds.app, 1)
    assert len(rounds.begun) == 3


async def test_what_shows_every_session_is_made_for_all_who_ask_meanwhile() -> None:
    answer, go_on, made = LongAnswer(), asyncio.Event(), list[int]()

    async def make() -> int:
        made.append(len(made))
        await go_on.wait()
        return made[-1]

    first = asyncio.create_task(answer.get(make))
    await asyncio.sleep(0)
    others = [asyncio.create_task(answer.get(make)) for _ in range(MANY)]
    await asyncio.sleep(0)
    others[0].cancel()
    go_on.set()
    assert await first == 0
    assert set(await asyncio.gather(*others[1:])) == {1}
    assert made == [0, 1]


async def test_nobody_is_told_what_was_so_before_he_asked(
    client: httpx.AsyncClient, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, go_on, list_sessions = asyncio.Event(), asyncio.Event(), fakes.gateway.list_sessions

    async def slow_list() -> object:
        found = await list_sessions()
        read.set()
        await go_on.wait()
        return found

    monkeypatch.setattr(fakes.gateway, "list_sessions", slow_list)
    first = asyncio.create_task(client.get("/v1/sessions"))
    await read.wait()
    await client.post("/v1/sessions", json={"id": "new"})
    second = asyncio.create_task(client.get("/v1/sessions"))
    go_on.set()
    assert "new" not in [one["id"] for one in (await first).json()["items"]]
    assert "new" in [one["id"] for one in (await second).json()["items"]]


async def test_a_failure_is_told_to_all_who_asked_and_to_nobody_after_them(
    client: httpx.AsyncClient, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> object:
        raise StorageUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(fakes.gateway, "list_sessions", fail)
        answers = await asyncio.gather(*(client.get("/v1/sessions") for _ in range(3)))
        assert {answer.status_code for answer in answers} == {503}
    assert (await client.get("/v1/sessions")).status_code == 200


async def test_a_thousand_sessions_are_shown_a_piece_at_a_time(
    client: httpx.AsyncClient, fakes: Fakes
) -> None:
    for number in range(1000):
        fakes.gateway.add(f"s{number}")
    rounds = Rounds()
    counting = asyncio.create_task(rounds.count())
    answer = await client.get("/v1/sessions")
    counting.cancel()
    shown = [one["id"] for one in answer.json()["items"]]
    assert shown == [str(session) for session in fakes.gateway.sessions]
    assert rounds.round > 1000 // 50
