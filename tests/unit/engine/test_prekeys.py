"""What the server has of our keys is compared with what we have; what says nothing does nothing."""

import pytest

from perene.engine.bundles import own_keys, own_registration
from perene.engine.prekeys import JUST_S, PreKeys
from perene.wire.node import Node
from tests.support.virtual_clock import VirtualClock
from tests.unit.engine.fakes import MemoryStore, line_on, stage_on


class Published:
    """A server that has keys of ours, and what it is asked."""

    def __init__(self) -> None:
        self.stage = stage_on(MemoryStore())
        self.clock = VirtualClock()
        own = self.stage.credentials
        self.digest: Node | None = Node("digest", {}, (own_registration(own), *own_keys(own)))
        self.asked: list[str] = []
        line = line_on(self.stage, queries=self, clock=self.clock)
        self.pre_keys = PreKeys(line, first=3)

    async def ask(self, namespace: str, kind: str, *content: Node) -> Node:
        assert namespace == "encrypt"
        self.asked.append(f"{kind} {content[0].tag}")
        return Node("iq", {}, (self.digest,) if self.digest is not None else ())


@pytest.fixture
def server() -> Published:
    return Published()


async def test_a_server_with_our_keys_is_given_none(server: Published) -> None:
    await server.pre_keys.check()
    assert server.asked == ["get digest"]


@pytest.mark.parametrize(
    "digest",
    [
        None,
        Node("digest"),
        Node("digest", {}, (Node("registration", {}, b"\x00"),)),
        Node("digest", {}, "no keys"),
    ],
    ids=["none", "empty", "half", "text"],
)
async def test_an_answer_that_makes_no_sense_says_nothing_of_our_keys(
    server: Published, digest: Node | None
) -> None:
    server.digest = digest
    await server.pre_keys.check()
    assert server.asked == ["get digest"]
    assert server.stage.credentials.keys_mended_at is None


async def test_a_difference_is_mended_and_the_day_of_it_kept(server: Published) -> None:
    own = server.stage.credentials
    other = own.changed(registration_id=own.registration_id ^ 1)
    server.digest = Node("digest", {}, (own_registration(other), *own_keys(own)))
    await server.pre_keys.revalidate()
    assert server.asked == ["get digest", "set registration"]
    at = int(server.clock.now().timestamp())
    assert server.stage.credentials == own.changed(
        keys_mended_at=at, next_pre_key_id=server.stage.credentials.next_pre_key_id
    )


async def test_keys_that_were_just_uploaded_are_not_looked_at(server: Published) -> None:
    await server.pre_keys.refill(0)
    await server.pre_keys.check()
    assert server.asked == ["set registration"]
    await server.clock.advance(JUST_S)
    await server.pre_keys.check()
    assert server.asked == ["set registration", "get digest"]
