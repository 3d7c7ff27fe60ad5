"""What follows the server's success: the device is let in once, and is open whatever is refused."""

from datetime import UTC, datetime
from typing import cast

import pytest

from perene.core.causes import Local
from perene.core.notices import Notice, Opened, TimeTold, VersionExpires
from perene.core.unit import Profile
from perene.engine.credentials import Credentials
from perene.engine.errors import ConnectionEnded, QueryFailed, QueryTimedOut
from perene.engine.listening import Listening
from perene.engine.login import Login
from perene.engine.prekeys import PreKeys
from perene.engine.welcome import Welcome
from perene.wire.node import Node
from tests.support.virtual_clock import VirtualClock
from tests.unit.engine.fakes import OWN_LID, OWN_PN, Later, MemoryStore, line_on, paired, stage_on


class Entrance:
    """A login, everybody whom it tells, and the server that it asks."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        self.store = MemoryStore()
        self.stage = stage_on(self.store, credentials)
        self.told: list[str] = []
        self.notices: list[Notice] = []
        self.asked: list[str] = []
        self.questions: list[tuple[str, ...]] = []
        self.errors: dict[str, Exception] = {}
        self.later = Later()
        self.login = Login(
            line_on(
                self.stage, queries=self, clock=VirtualClock(), observer=self, later=self.later
            ),
            version=VERSION,
            pre_keys=cast("PreKeys", self),
            welcome=cast("Welcome", self),
            listening=cast("Listening", self),
        )
        self.login.on_success = lambda: self.told.append("success")

    def greeted(self) -> None:
        self.told.append("greeted")

    def opened(self, success: Node) -> None:
        self.told.append(f"opened by <{success.tag}>")

    def notice(self, notice: Notice) -> None:
        self.notices.append(notice)

    async def ensure(self) -> None:
        await self.ask("encrypt", "get")

    async def check(self) -> None:
        await self.ask("encrypt", "get", Node("digest"))

    async def ask(self, namespace: str, kind: str, *content: Node) -> Node:
        self.asked.append(namespace)
        self.questions.append((kind, *(node.tag for node in content)))
        if namespace in self.errors:
            raise self.errors[namespace]
        return Node("iq")


VERSION = (2, 3000, 7)


@pytest.fixture
def entrance() -> Entrance:
    return Entrance()


def routing(info: bytes) -> Node:
    return Node("edge_routing", {}, (Node("routing_info", {}, info),))


async def test_a_success_is_counted_and_told_once(entrance: Entrance) -> None:
    for _ in range(2):
        await entrance.login.succeeded(Node("success", {"lid": OWN_LID}))
    assert entrance.told == ["greeted", "opened by <success>", "success"]
    assert entrance.notices == []
    assert entrance.stage.credentials.login_counter == 1
    assert [unit.profile for unit in entrance.store.units] == [Profile(pn=OWN_PN, lid=OWN_LID)]


async def test_a_lid_that_was_not_known_is_kept_and_the_servers_time_told() -> None:
    entrance = Entrance(paired().changed(lid=None))
    await entrance.login.succeeded(Node("success", {"lid": OWN_LID, "t": "1767323045"}))
    assert entrance.stage.credentials.lid == OWN_LID
    assert [unit.profile for unit in entrance.store.units] == [Profile(pn=OWN_PN, lid=OWN_LID)]
    [told] = entrance.notices
    assert isinstance(told, TimeTold)
    assert told.said.isoformat() == "2026-01-02T03:04:05+00:00"


@pytest.mark.parametrize(
    "attrs",
    [{}, *({"lid": text} for text in ("", "@@ no address", "@lid", "s.whatsapp.net", OWN_PN))],
)
async def test_a_success_without_a_lid_keeps_the_one_that_is_known(
    entrance: Entrance, attrs: dict[str, str]
) -> None:
    await entrance.login.succeeded(Node("success", attrs))
    assert entrance.stage.credentials.lid == OWN_LID


async def test_a_success_before_the_device_is_linked_means_nothing() -> None:
    entrance = Entrance(Credentials.create())
    await entrance.login.succeeded(Node("success"))
    assert entrance.told == []
    assert entrance.store.units == []


def test_from_when_on_whatsapp_refuses_the_version_is_told(entrance: Entrance) -> None:
    entrance.login.expiring(Node("client_expiration", {"t": "1767323045"}))
    entrance.login.expiring(Node("client_expiration"))
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert entrance.notices == [
        VersionExpires(at=at, version=VERSION),
        VersionExpires(at=None, version=VERSION),
    ]


@pytest.mark.parametrize("t", ["", "soon", "-1", "9" * 20])
def test_what_is_no_time_takes_back_nothing_that_was_said(entrance: Entrance, t: str) -> None:
    entrance.login.expiring(Node("client_expiration", {"t": t}))
    assert entrance.notices == []


async def test_a_complete_login_is_told(entrance: Entrance) -> None:
    await entrance.login.complete()
    assert entrance.asked == ["encrypt", "passive"]
    assert entrance.questions[-1] == ("set", "active")
    assert [type(notice) for notice in entrance.notices] == [Opened]


@pytest.mark.parametrize("lid", [OWN_LID, None])
async def test_a_login_is_told_with_the_addresses_of_the_account(lid: str | None) -> None:
    entrance = Entrance(paired().changed(lid=lid))
    await entrance.login.complete()
    [opened] = entrance.notices
    assert isinstance(opened, Opened)
    assert opened.pn == "15550000001@s.whatsapp.net"
    assert opened.lid == ("100000000000001@lid" if lid else None)


@pytest.mark.parametrize(
    ("lacking", "error"),
    [
        ("encrypt", QueryFailed(503, "")),
        ("encrypt", QueryTimedOut("no answer")),
        ("passive", QueryFailed(503, "")),
    ],
)
async def test_a_session_that_is_short_of_something_is_open(
    entrance: Entrance, lacking: str, error: Exception
) -> None:
    entrance.errors[lacking] = error
    await entrance.login.complete()
    assert entrance.asked == ["encrypt", "passive"]
    assert [type(notice) for notice in entrance.notices] == [Opened]


async def test_who_is_not_made_active_asks_again_until_it_is(entrance: Entrance) -> None:
    entrance.errors["passive"] = QueryFailed(503, "")
    await entrance.login.complete()
    work = entrance.later.waiting.pop(0)
    for error in (QueryFailed(500, ""), QueryTimedOut("no answer"), None):
        rest = await work()
        assert rest is not None
        assert rest.after_s == 30
        work = rest.work
        entrance.errors = {} if error is None else {"passive": error}
    assert await work() is None
    assert entrance.asked.count("passive") == 4


async def test_who_is_active_only_has_its_keys_looked_at(entrance: Entrance) -> None:
    await entrance.login.complete()
    assert [type(notice) for notice in entrance.notices] == [Opened]
    await entrance.later.work()
    assert entrance.questions[2:] == [("get", "digest")]


async def test_a_server_that_does_not_let_us_be_active_ends_the_connection(
    entrance: Entrance,
) -> None:
    entrance.errors["passive"] = QueryTimedOut("no answer")
    with pytest.raises(ConnectionEnded) as ended:
        await entrance.login.complete()
    assert ended.value.ending.code == Local.KEEPALIVE
    assert entrance.notices == []


async def test_the_way_of_the_next_login_is_kept(entrance: Entrance) -> None:
    for _ in range(2):
        await entrance.login.routed(routing(b"edge"))
    assert entrance.stage.credentials.routing_info == b"edge"
    assert len(entrance.store.units) == 1


@pytest.mark.parametrize("info", [b"e", bytes(1024)], ids=["short", "long"])
async def test_a_way_of_any_usual_length_is_kept(entrance: Entrance, info: bytes) -> None:
    await entrance.login.routed(routing(info))
    assert entrance.stage.credentials.routing_info == info


@pytest.mark.parametrize(
    "node",
    [Node("edge_routing"), routing(b""), routing(bytes(1025))],
    ids=["none", "empty", "long"],
)
async def test_a_way_that_cannot_be_one_is_not_kept(node: Node) -> None:
    entrance = Entrance(paired().changed(routing_info=b"edge"))
    await entrance.login.routed(node)
    assert entrance.stage.credentials.routing_info == b"edge"
    assert entrance.store.units == []
