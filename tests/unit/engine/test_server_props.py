"""What the server sets for its clients is asked for once a day, and odd answers harm nobody."""

import asyncio

import pytest

from perene.engine.errors import QueryFailed, QueryTimedOut
from perene.engine.server_props import ServerProps
from perene.wire.node import Node
from tests.support.virtual_clock import VirtualClock


class Server:
    """Answers the query with these properties, or fails."""

    def __init__(self, *props: Node) -> None:
        self.answer = Node("iq", {}, (Node("props", {}, props),))
        self.error: Exception | None = None
        self.asked = 0

    async def ask(self, namespace: str, kind: str, *content: Node, timeout_s: float) -> Node:
        assert (namespace, kind, content) == ("abt", "get", (Node("props", {"protocol": "1"}),))
        assert timeout_s == 10
        self.asked += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return self.answer


def prop(code: str, value: str) -> Node:
    return Node("prop", {"config_code": code, "config_value": value})


def props_of(server: Server, clock: VirtualClock) -> ServerProps:
    return ServerProps(server, clock)  # pyright: ignore[reportArgumentType] # the one method of it


async def test_numbers_are_told_and_everything_else_is_passed_over() -> None:
    server = Server(
        prop("909", "26"),
        prop("x", "1"),
        prop("1", "on"),
        prop("2", "-1"),
        Node("prop", {"event_code": "5138", "sampling_weight": "-1"}),
        Node("other", {"config_code": "3", "config_value": "3"}),
    )
    assert await props_of(server, VirtualClock()).numbers() == {909: 26}


async def test_an_answer_without_properties_tells_of_none() -> None:
    server = Server()
    server.answer = Node("iq")
    assert await props_of(server, VirtualClock()).numbers() == {}


async def test_the_server_is_asked_once_a_day_by_however_many() -> None:
    server, clock = Server(prop("909", "26")), VirtualClock()
    props = props_of(server, clock)
    assert await asyncio.gather(props.numbers(), props.numbers()) == [{909: 26}, {909: 26}]
    await clock.advance(86_399)
    await props.numbers()
    assert server.asked == 1
    await clock.advance(1)
    await props.numbers()
    assert server.asked == 2


@pytest.mark.parametrize("error", [QueryFailed(429, "too many"), QueryTimedOut("silent")])
async def test_a_server_that_does_not_tell_is_asked_again_after_five_minutes(
    error: Exception,
) -> None:
    server, clock = Server(prop("909", "26")), VirtualClock()
    props = props_of(server, clock)
    server.error = error
    assert await props.numbers() == {}
    server.error = None
    await clock.advance(299)
    assert await props.numbers() == {}
    await clock.advance(1)
    assert await props.numbers() == {909: 26}
    server.error = error
    await clock.advance(86_400)
    assert await props.numbers() == {909: 26}
    assert server.asked == 3
