"""What changes behind the messages is applied, and acknowledged whatever it says."""

from typing import cast
from unittest.mock import AsyncMock, Mock, call

import pytest

from perene.core.unit import HolderChange
from perene.engine.answers import acknowledge
from perene.engine.credentials import Credentials
from perene.engine.devices import Devices
from perene.engine.draft import Draft
from perene.engine.group_key import own_key, set_own_key
from perene.engine.groups import Groups
from perene.engine.linking import Linking
from perene.engine.notifications import Notifications
from perene.engine.prekeys import PreKeys
from perene.engine.privacy_tokens import PrivacyTokens
from perene.engine.queries import Queries
from perene.engine.reach_out import ReachOut
from perene.wire.jid import Jid
from perene.wire.node import Node
from tests.unit.engine.desk import ANA, GROUP, Desk
from tests.unit.engine.fakes import Later, line_on


class Told:
    """A connection that is told of changes, and what they come to."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        self.desk = Desk()
        if credentials is not None:
            self.desk.stage.credentials = credentials
        self.later = Later()
        self.devices, self.tokens, self.pre_keys = AsyncMock(), AsyncMock(), AsyncMock()
        self.reach_out, self.linking = AsyncMock(), AsyncMock()
        self.groups, self.queries = Mock(), Mock()
        self.queries.next_id.return_value = "1.2-3"
        line = line_on(
            self.desk.stage,
            queries=cast("Queries", self.queries),
            clock=self.desk.clock,
            answers=self.desk.answered,  # pyright: ignore[reportArgumentType]  # all that is used of them
            later=self.later,
        )
        self.notifications = Notifications(
            line,
            devices=cast("Devices", self.devices),
            groups=cast("Groups", self.groups),
            tokens=cast("PrivacyTokens", self.tokens),
            reach_out=cast("ReachOut", self.reach_out),
            pre_keys=cast("PreKeys", self.pre_keys),
            linking=cast("Linking", self.linking),
        )

    async def take(self, kind: str, *children: Node, **attrs: str) -> None:
        """Be told of a change, which is acknowledged; then do what must ask the server."""
        node = Node("notification", {"id": "N1", "from": ANA, "type": kind, **attrs}, children)
        await self.notifications.take(node)
        assert self.desk.answered.nodes == [acknowledge(node)]
        self.desk.answered.nodes.clear()
        await self.later.work()

    async def give_own_key(self) -> None:
        """Let somebody hold our key of the group."""
        draft = Draft(self.desk.stage)
        set_own_key(draft, GROUP, self.desk.own, await own_key(draft, GROUP, self.desk.own))
        await self.desk.stage.holders.of(GROUP)
        draft.holders.change(HolderChange(group=GROUP, added=("1.0",)))
        draft.submit()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.mark.parametrize("change", ["remove", "leave"])
async def test_who_has_left_a_group_cannot_read_on(told: Told, change: str) -> None:
    await told.give_own_key()
    before = await own_key(Draft(told.desk.stage), GROUP, told.desk.own)
    await told.take("w:gp2", Node(change), **{"from": GROUP})
    told.groups.forget.assert_called_once_with(Jid.parse(GROUP))
    after = await own_key(Draft(told.desk.stage), GROUP, told.desk.own)
    assert after.states[0].key_id != before.states[0].key_id
    assert await told.desk.stage.holders.of(GROUP) == set()
    assert told.desk.store.holders[GROUP] == set()


async def test_who_joins_a_group_costs_nobody_the_key_that_they_have(told: Told) -> None:
    await told.give_own_key()
    before = await own_key(Draft(told.desk.stage), GROUP, told.desk.own)
    units = len(told.desk.store.units)
    await told.take("w:gp2", Node("add"), **{"from": GROUP})
    told.groups.forget.assert_called_once_with(Jid.parse(GROUP))
    assert await own_key(Draft(told.desk.stage), GROUP, told.desk.own) is before
    assert await told.desk.stage.holders.of(GROUP) == {"1.0"}
    assert len(told.desk.store.units) == units


async def test_a_contact_with_new_keys_is_asked_for_devices_and_given_a_token_anew(
    told: Told,
) -> None:
    await told.take("encrypt", Node("identity"))
    told.devices.forget_person.assert_awaited_once_with(told.desk.stage.book, Jid.parse(ANA))
    told.tokens.renew.assert_awaited_once_with(Jid.parse(ANA))


@pytest.mark.parametrize(("value", "count"), [("4", 4), ("", None), ("9" * 50, None)])
async def test_a_word_about_few_pre_keys_is_looked_into(
    told: Told, value: str, count: int | None
) -> None:
    await told.take("encrypt", Node("count", {"value": value}))
    assert told.pre_keys.mock_calls == [call.refill(count)]


async def test_a_word_about_our_keys_has_them_compared(told: Told) -> None:
    await told.take("encrypt", Node("digest"))
    assert told.pre_keys.mock_calls == [call.revalidate()]


@pytest.mark.parametrize("kind", ["devices", "account_sync"])
async def test_devices_that_have_changed_are_forgotten_under_both_addresses(
    told: Told, kind: str
) -> None:
    number = "15550000002@s.whatsapp.net"
    await told.take(kind, **{"from": number, "lid": ANA})
    told.devices.forget_person.assert_awaited_once_with(
        told.desk.stage.book, Jid.parse(number), Jid.parse(ANA)
    )


async def test_what_is_said_of_limits_tokens_and_linking_comes_to_those_who_know(
    told: Told,
) -> None:
    await told.take("mex")
    assert [name for name, _, _ in told.reach_out.mock_calls] == ["notice"]
    await told.take("privacy_token")
    assert [name for name, _, _ in told.tokens.mock_calls] == ["notice"]
    await told.take("link_code_companion_reg")
    await told.take("companion_reg_refresh")
    names = [name for name, _, _ in told.linking.mock_calls]
    assert names == ["by_code.finish", "by_qr.renew_secret"]


@pytest.mark.parametrize("linked", [False, True])
async def test_a_passkey_is_asked_for_only_while_a_device_is_linked(*, linked: bool) -> None:
    told = Told(None if linked else Credentials.create())
    await told.take("passkey_prologue_request")
    assert told.linking.passkey_asked.await_count == (0 if linked else 1)


@pytest.mark.parametrize("kind", ["devices", "w:gp2", "from_the_future"])
async def test_a_change_that_makes_no_sense_is_acknowledged(told: Told, kind: str) -> None:
    await told.take(kind, **{"from": "some one@@"})
    assert told.desk.store.units == []


def dirty(kind: str, **more: str) -> Node:
    return Node("dirty", {"type": kind, **more})


def clean(**attrs: str) -> Node:
    about = {"id": "1.2-3", "xmlns": "urn:xmpp:whatsapp:dirty", "type": "set"}
    return Node("iq", {**about, "to": "s.whatsapp.net"}, (Node("clean", attrs),))


async def test_members_of_groups_that_the_server_calls_dirty_are_asked_for_anew(
    told: Told,
) -> None:
    await told.notifications.dirtied(dirty("groups", timestamp="1787600000"))
    told.groups.forget_all.assert_called_once_with()
    assert told.devices.mock_calls == []
    assert told.desk.answered.nodes == [clean(type="groups", timestamp="1787600000")]


async def test_own_devices_are_asked_for_anew_once_the_account_is_dirty(told: Told) -> None:
    await told.notifications.dirtied(dirty("account_sync"))
    own = told.desk.own.own_pn
    told.devices.forget_person.assert_awaited_once_with(told.desk.stage.book, own)
    assert told.groups.mock_calls == []
    assert told.desk.answered.nodes == [clean(type="account_sync")]


@pytest.mark.parametrize("node", [dirty("syncd_app_state"), Node("dirty")])
async def test_what_is_dirty_and_not_read_here_stays_so(told: Told, node: Node) -> None:
    await told.notifications.dirtied(node)
    assert (told.groups.mock_calls, told.devices.mock_calls) == ([], [])
    assert told.desk.answered.nodes == []
