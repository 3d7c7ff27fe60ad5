"""The code on the screen, and what follows when it was scanned."""

import asyncio
from collections.abc import Sequence
from typing import cast
from unittest.mock import AsyncMock, patch

import pytest

from perene.core.errors import ForgottenEpoch, StaleEpoch, StorageUnavailable
from perene.core.notices import Notice, QrShown
from perene.crypto import KeyPair
from perene.engine.answers import Answers
from perene.engine.credentials import Credentials
from perene.engine.linking import Linking
from perene.engine.pairing_code import hello, start
from perene.sim.pairing_code import CodeOffer
from perene.wire.node import Node
from tests.support.turns import turns
from tests.unit.engine.desk import Desk
from tests.unit.engine.fakes import line_on, paired
from tests.unit.engine.test_pairing import Phone

ASK_AGAIN_S = 2.0


class Screen:
    """A device that shows codes."""

    def __init__(self, own: Credentials) -> None:
        self.desk = Desk()
        self.desk.stage.credentials = own
        self.shown: list[str] = []
        line = line_on(
            self.desk.stage,
            queries=None,
            clock=self.desk.clock,
            answers=cast("Answers", self.desk.answered),
            observer=self,
        )
        self.linking = Linking(line, qr_timeout_s=60)

    def notice(self, notice: Notice) -> None:
        if isinstance(notice, QrShown):
            self.shown.append(notice.text)

    async def told(self, *children: str) -> Sequence[str]:
        """Be told to replace what is shown; return what was shown, the first code included."""
        refs = tuple(Node("ref", {}, text) for text in (b"ref 1", b"ref 2"))
        self.linking.by_qr.offer(Node("iq", {"id": "1"}, (Node("pair-device", {}, refs),)))
        showing = asyncio.create_task(self.linking.by_qr.show())
        await self.desk.clock.until_asleep(60)
        told = Node("notification", {}, tuple(Node(child) for child in children))
        await self.linking.by_qr.renew_secret(told)
        await turns()
        showing.cancel()
        return self.shown


@pytest.mark.parametrize("child", ["companion_reg_refresh", "pair-device-rotate-qr"])
async def test_a_code_is_shown_with_another_secret_and_the_same_ref(child: str) -> None:
    own = Credentials.create()
    screen = Screen(own)
    first, second = [text.split(",") for text in await screen.told("other", child)]
    assert (first[:3], first[4]) == (second[:3], second[4])
    assert first[3] != second[3]
    assert screen.desk.stage.credentials.adv_secret != own.adv_secret
    assert len(screen.desk.stage.credentials.adv_secret) == len(own.adv_secret)


@pytest.mark.parametrize("children", [(), ("other",)])
async def test_another_word_changes_nothing(children: tuple[str, ...]) -> None:
    own = Credentials.create()
    screen = Screen(own)
    assert len(await screen.told(*children)) == 1
    assert screen.desk.stage.credentials is own


async def test_a_linked_device_keeps_what_it_has() -> None:
    own = paired()
    screen = Screen(own)
    told = Node("notification", {}, (Node("companion_reg_refresh"),))
    await screen.linking.by_qr.renew_secret(told)
    assert (screen.desk.stage.credentials, screen.desk.store.units) == (own, [])


async def test_a_word_about_a_code_that_nobody_has_asked_for_is_passed_over() -> None:
    """Or about one that is over: WhatsApp has refused it, and the phone goes on."""
    own = Credentials.create()
    screen = Screen(own)
    offer = CodeOffer.from_hello(hello(start("15550000001"), own), ref=b"ref")
    typed = offer.primary_hello("1111-1111", KeyPair.generate())
    over = Node("link_code_companion_reg", {"stage": "refresh_code"}, typed.children)
    for word in (typed, over):
        await screen.linking.by_code.finish(Node("notification", {}, (word,)))
    assert screen.desk.stage.credentials is own


async def linked(screen: Screen, own: Credentials, *owned: Exception | None) -> Exception | None:
    """Be scanned, and asked whose the session is; return why it is not confirmed, if it is not."""
    asked = AsyncMock(side_effect=owned)
    with patch.object(screen.desk.store, "require_ownership", asked):
        await (await screen.linking.complete(Phone(own).answer()))
        [confirmed] = [one for one in screen.desk.answered.waits_for if one is not None]
        for _ in owned[1:]:
            await screen.desk.clock.until_asleep(ASK_AGAIN_S)
            assert not confirmed.done()
            await screen.desk.clock.advance(ASK_AGAIN_S)
        [error] = await asyncio.gather(confirmed, return_exceptions=True)
    assert screen.desk.stage.credentials.paired
    assert [node.attr("id") for node in screen.desk.answered.nodes] == ["P1"]
    return error if isinstance(error, Exception) else None


@pytest.mark.parametrize("error", [StaleEpoch("taken"), ForgottenEpoch("gone")])
async def test_a_pairing_is_not_confirmed_once_the_session_has_another_owner(
    error: Exception,
) -> None:
    own = Credentials.create()
    assert await linked(Screen(own), own, error) is error


async def test_a_pairing_that_was_stored_is_confirmed() -> None:
    own = Credentials.create()
    assert await linked(Screen(own), own, None) is None


@pytest.mark.parametrize("error", [None, StaleEpoch("taken")])
async def test_a_database_that_is_away_is_asked_again_before_a_pairing_is_confirmed(
    error: Exception | None,
) -> None:
    own, away = Credentials.create(), StorageUnavailable("away")
    assert await linked(Screen(own), own, away, away, error) is error


async def test_nobody_is_asked_any_more_once_the_connection_has_ended() -> None:
    own = Credentials.create()
    screen = Screen(own)
    asked = AsyncMock(side_effect=StorageUnavailable("away"))
    with patch.object(screen.desk.store, "require_ownership", asked):
        await (await screen.linking.complete(Phone(own).answer()))
        await screen.desk.clock.until_asleep(ASK_AGAIN_S)
        screen.linking.closed()
        [confirmed] = [one for one in screen.desk.answered.waits_for if one is not None]
        await asyncio.wait((confirmed,))
    assert confirmed.cancelled()
    assert asked.await_count == 1
