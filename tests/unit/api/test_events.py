"""Events: live, from any point in the past, and without an effect on what they tell of."""

import asyncio
import gc
import json
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from perene.api import create_app, streams
from perene.api.event_frames import CHUNK_BYTES, SharedFrames
from perene.core.errors import StorageUnavailable
from perene.core.events import EventType
from perene.supervisor.ports import EventPage, StoredEvent
from tests.unit.api.asgi import Stream
from tests.unit.api.fakes import Fakes

RECEIVED = EventType.MESSAGE_RECEIVED
SENT = EventType.MESSAGE_SENT


async def test_a_stream_tells_what_happens_next(app: FastAPI, fakes: Fakes):
    await fakes.events.emit(RECEIVED, text="before")
    async with Stream(app, "/v1/events") as stream:
        assert stream.status == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        opening = await stream.block()
        assert "" in opening
        assert "data" not in opening
        assert opening["id"] == "1"
        await fakes.events.somebody_waits()
        stored = await fakes.events.emit(RECEIVED, text="line\nbreak")
        event = await stream.event()
    assert (event["id"], event["event"]) == ("2", "message.received")
    assert json.loads(event["data"]) == {
        "seq": 2,
        "id": stored.event.id,
        "type": "message.received",
        "session": "one",
        "at": "2026-05-01T12:00:00Z",
        "payload": {"text": "line\nbreak"},
    }


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/v1/events?after=2", {}),
        ("/v1/events", {"Last-Event-ID": "2"}),
        ("/v1/events?after=0", {"Last-Event-ID": "2"}),
    ],
)
async def test_a_stream_goes_on_where_its_client_was(
    app: FastAPI, fakes: Fakes, target: str, headers: dict[str, str]
):
    for _ in range(4):
        await fakes.events.emit(RECEIVED)
    async with Stream(app, target, headers) as stream:
        assert [(await stream.event())["id"] for _ in range(2)] == ["3", "4"]
        await fakes.events.emit(RECEIVED)
        assert (await stream.event())["id"] == "5"


async def test_a_stream_reads_everything_when_asked_to(app: FastAPI, fakes: Fakes):
    for _ in range(3 * streams.PAGE + 1):
        await fakes.events.emit(RECEIVED)
    async with Stream(app, "/v1/events?after=0") as stream:
        ids = [int((await stream.event())["id"]) for _ in range(3 * streams.PAGE + 1)]
    assert ids == list(range(1, 3 * streams.PAGE + 2))


async def test_a_stream_shows_only_what_was_asked_for(app: FastAPI, fakes: Fakes):
    await fakes.events.emit(RECEIVED, "one")
    await fakes.events.emit(SENT, "one")
    await fakes.events.emit(SENT, "two")
    await fakes.events.emit(EventType.MESSAGE_FAILED, "one")
    target = "/v1/events?after=0&session=one&type=message.sent&type=message.failed"
    async with Stream(app, target) as stream:
        assert [(await stream.event())["id"] for _ in range(2)] == ["2", "4"]


async def test_silence_is_filled_with_comments(fakes: Fakes):
    everything = streams.Selection(session=None, types=())
    async with aclosing(streams.frames(fakes.events, 0, everything, heartbeat_s=0.001)) as content:
        assert await anext(content) == b": reading from here\nid: 0\nretry: 2000\n\n"
        assert await anext(content) == b": still here\n\n"
        assert await anext(content) == b": still here\n\n"
    assert fakes.events.waiting == 0


@pytest.mark.requirement("C1")
async def test_closing_a_stream_touches_no_session(app: FastAPI, fakes: Fakes):
    fakes.gateway.add("one")
    before = dict(fakes.gateway.sessions)
    for _ in range(3):
        async with Stream(app, "/v1/events"):
            await fakes.events.somebody_waits()
        assert fakes.events.waiting == 0
    assert fakes.gateway.calls == []
    assert fakes.gateway.sessions == before
    assert fakes.streams.open == 0


@pytest.mark.requirement("C1")
async def test_watchers_that_come_and_go_while_a_session_reconnects_have_no_part_in_it(
    app: FastAPI, client: httpx.AsyncClient, fakes: Fakes
):
    fakes.gateway.add("one")
    before = dict(fakes.gateway.sessions)
    async with Stream(app, "/v1/events?after=0") as steady:
        for number, kind in enumerate(
            (
                EventType.SESSION_DISCONNECTED,
                EventType.SESSION_ERROR_515,
                EventType.SESSION_CONNECTED,
                EventType.SESSION_RECOVERED,
            ),
            start=1,
        ):
            async with Stream(app, "/v1/events?after=0"):
                await fakes.events.emit(kind)
            for path in ("/v1/sessions", "/v1/sessions/one/outages", "/health/detailed"):
                assert (await client.get(path)).status_code == 200
            event = await steady.event()
            assert (event["id"], event["event"]) == (str(number), kind)
    assert fakes.gateway.calls == []
    assert fakes.gateway.sessions == before
    assert fakes.streams.open == 0


@pytest.mark.requirement("C1")
async def test_a_slow_client_holds_up_nobody_else(app: FastAPI, fakes: Fakes):
    async with Stream(app, "/v1/events?after=0") as slow, Stream(app, "/v1/events?after=0") as fast:
        for _ in range(2 * streams.PAGE):
            await fakes.events.emit(RECEIVED)
        for number in range(2 * streams.PAGE):
            assert (await fast.event())["id"] == str(number + 1)
        assert (await slow.event())["id"] == "1"


async def test_a_client_that_takes_nothing_is_given_up(app: FastAPI, fakes: Fakes):
    fakes.streams.send_within_s = 0.05
    for _ in range(5):
        await fakes.events.emit(RECEIVED)
    async with Stream(app, "/v1/events?after=0") as stream:
        await stream.let_go()
    assert fakes.streams.open == 0


async def test_there_are_only_so_many_streams(fakes: Fakes):
    fakes.streams.limit = 2
    app = create_app(fakes.ports())
    async with Stream(app, "/v1/events") as first, Stream(app, "/v1/events"):
        async with Stream(app, "/v1/events") as third:
            assert third.status == 503
            assert third.headers["content-type"] == "application/problem+json"
        first.close()
        await first.ended()
        async with Stream(app, "/v1/events") as fourth:
            assert fourth.status == 200


async def test_a_stopping_service_ends_its_streams(app: FastAPI, fakes: Fakes):
    async with Stream(app, "/v1/events") as stream:
        fakes.streams.close()
        await stream.ended()
    async with Stream(app, "/v1/events") as refused:
        assert refused.status == 503


async def test_a_stream_ends_when_its_key_is_revoked(app: FastAPI, fakes: Fakes):
    async with Stream(app, "/v1/events") as stream:
        fakes.keys.revoke()
        await stream.ended()
    assert fakes.streams.open == 0


async def test_a_stream_waits_for_a_database_that_does_not_answer(
    app: FastAPI, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
):
    after, failures = fakes.events.after, 3
    fakes.streams.again_after_s = 0.0

    async def fail(*asked: Any, **more: Any) -> EventPage:
        nonlocal failures
        if failures:
            failures -= 1
            raise StorageUnavailable("The database does not answer.")
        return await after(*asked, **more)

    async with Stream(app, "/v1/events") as stream:
        await fakes.events.somebody_waits()
        monkeypatch.setattr(fakes.events, "after", fail)
        await fakes.events.emit(RECEIVED)
        assert (await stream.event())["id"] == "1"
        assert failures == 0
        assert fakes.streams.open == 1
    assert fakes.streams.open == 0


async def test_a_stream_shows_that_it_lives_while_the_database_is_silent(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch
):
    async def hang(*_: object, **__: object) -> EventPage:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(fakes.events, "after", hang)
    everything = streams.Selection(session=None, types=())
    async with aclosing(streams.frames(fakes.events, 0, everything, heartbeat_s=0.001)) as content:
        assert await anext(content) == b": reading from here\nid: 0\nretry: 2000\n\n"
        assert await anext(content) == b": still here\n\n"
        assert await anext(content) == b": still here\n\n"
    assert len(asyncio.all_tasks()) == 1


async def test_streams_share_the_form_of_an_event_and_send_a_page_in_few_pieces(
    fakes: Fakes,
):
    made: list[int] = []

    def counted(item: StoredEvent) -> bytes:
        made.append(item.seq)
        return b"x" * (CHUNK_BYTES // 40)

    shared = streams.Streams(frames=SharedFrames(counted))
    for _ in range(streams.PAGE):
        await fakes.events.emit(RECEIVED)
    everything = streams.Selection(session=None, types=())
    for _ in range(3):
        content = streams.frames(fakes.events, 0, everything, 60, shared)
        async with aclosing(content) as pieces:
            await anext(pieces)
            sizes = [len(await anext(pieces)) for _ in range(3)]
        assert sum(sizes) == streams.PAGE * (CHUNK_BYTES // 40)
    assert made == list(range(1, streams.PAGE + 1))


@pytest.mark.requirement("C1")
def test_the_more_streams_are_open_the_longer_each_of_them_rests():
    assert [streams.Streams(open=count).pause_s for count in (1, 10, 250, 5000)] == [
        0,
        0,
        pytest.approx(0.48),
        1,
    ]


async def test_many_streams_leave_nothing_behind(app: FastAPI, fakes: Fakes):
    for _ in range(50):
        async with Stream(app, "/v1/events"):
            pass
    gc.collect()
    assert fakes.events.waiting == fakes.streams.open == 0
    assert len(asyncio.all_tasks()) == 1


async def test_a_page_of_json_says_where_to_go_on(client: httpx.AsyncClient, fakes: Fakes):
    for _ in range(5):
        await fakes.events.emit(RECEIVED)
    headers = {"Accept": "application/json"}
    seen: list[int] = []
    position = 0
    for _ in range(3):
        url = f"/v1/events?after={position}&limit=2"
        page = (await client.get(url, headers=headers)).json()
        seen += [item["seq"] for item in page["items"]]
        position = page["position"]
    assert (seen, position) == ([1, 2, 3, 4, 5], 5)
    assert (await client.get("/v1/events?format=json&after=5")).json() == {
        "items": [],
        "position": 5,
    }


@pytest.mark.parametrize(
    ("target", "headers"),
    [("/v1/events?after=9", {}), ("/v1/events?type=message.sent", {"Last-Event-ID": "9"})],
)
async def test_a_stream_says_that_a_position_is_of_another_outbox_and_goes_on(
    app: FastAPI, fakes: Fakes, target: str, headers: dict[str, str]
):
    for _ in range(3):
        await fakes.events.emit(RECEIVED)
    async with Stream(app, target, headers) as stream:
        told = await stream.event()
        assert (told["event"], told["id"]) == ("reset", "3")
        data = json.loads(told["data"])
        assert (data["asked"], data["position"]) == (9, 3)
        assert "restored" in data["detail"]
        await fakes.events.emit(SENT)
        event = await stream.event()
        assert (event["event"], event["id"]) == ("message.sent", "4")


async def test_a_stream_that_waits_says_when_an_older_outbox_is_put_in_place(
    app: FastAPI, fakes: Fakes
):
    for _ in range(3):
        await fakes.events.emit(RECEIVED)
    async with Stream(app, "/v1/events?after=2") as stream:
        assert (await stream.event())["id"] == "3"
        await fakes.events.somebody_waits()
        await fakes.events.go_back(to=1)
        told = await stream.event()
        assert (told["event"], told["id"]) == ("reset", "1")


async def test_an_empty_outbox_resets_to_its_beginning(app: FastAPI, fakes: Fakes):
    async with Stream(app, "/v1/events", {"Last-Event-ID": "9"}) as stream:
        told = await stream.event()
        assert (told["event"], told["id"]) == ("reset", "0")
        await fakes.events.emit(RECEIVED)
        assert (await stream.event())["id"] == "1"


async def test_a_page_behind_the_newest_event_is_refused(client: httpx.AsyncClient, fakes: Fakes):
    for _ in range(3):
        await fakes.events.emit(RECEIVED)
    answer = await client.get("/v1/events?format=json&after=4")
    assert (answer.status_code, answer.json()["code"]) == (409, "position_ahead")
    assert "reach to 3" in answer.json()["detail"]
    assert (await client.get("/v1/events?format=json&after=3")).status_code == 200
