"""One look for all sessions, with patience after a look in vain; and what is remembered."""

import asyncio
from datetime import datetime

import pytest

from perene.core.errors import PereneError, StorageUnavailable
from perene.core.ids import SessionId
from perene.supervisor.fleet.versions import ClientVersions
from tests.support.endings import OUTDATED
from tests.support.virtual_clock import START, VirtualClock
from tests.unit.supervisor.fakes import World

ENDPOINT = "wss://chat.example/ws/chat"
OLD = (2, 3000, 100)
NEW = (2, 3000, 200)
NEWER = (2, 3000, 300)


class Shelf:
    """A store that can be out of reach, or not answer."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[str, datetime]] = {}
        self.failing: Exception | None = None
        self.hanging = False

    async def client_version(self, endpoint: str) -> tuple[str, datetime] | None:
        await self._answer()
        return self.kept.get(endpoint)

    async def save_client_version(self, endpoint: str, version: str, now: datetime) -> None:
        await self._answer()
        self.kept[endpoint] = (version, now)

    async def _answer(self) -> None:
        if self.failing is not None:
            raise self.failing
        if self.hanging:
            await asyncio.Event().wait()


class Page:
    """The page with the live version: counts the looks, and waits to be let go."""

    def __init__(self, *answers: tuple[int, int, int] | Exception) -> None:
        self.answers = list(answers)
        self.looks = 0
        self.open = asyncio.Event()
        self.open.set()

    async def fetch(self) -> tuple[int, int, int]:
        self.looks += 1
        await self.open.wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class PageGone(PereneError):
    """The page is away."""

    code = "page_gone"
    remedy = "Bring it back."


def versions(
    page: Page,
    *,
    shelf: Shelf | None = None,
    override: tuple[int, int, int] | None = None,
    clock: VirtualClock | None = None,
    store_patience_s: float = 5.0,
) -> ClientVersions:
    return ClientVersions(
        store=shelf or Shelf(),
        fetch=page.fetch,
        default=OLD,
        override=override,
        clock=clock or VirtualClock(),
        endpoint=ENDPOINT,
        store_patience_s=store_patience_s,
    )


async def test_the_releases_own_version_is_presented_first() -> None:
    found = versions(Page())
    await found.load()
    assert found.current() == OLD


async def test_a_refused_version_is_replaced_by_the_live_one_which_is_kept() -> None:
    shelf, page = Shelf(), Page(NEW)
    found = versions(page, shelf=shelf)
    assert await found.refresh(OLD) == NEW
    assert found.current() == NEW
    assert found.problem is None
    assert shelf.kept == {ENDPOINT: ("2.3000.200", START)}


async def test_what_was_found_before_is_presented_after_a_restart() -> None:
    shelf = Shelf()
    await versions(Page(NEW), shelf=shelf).refresh(OLD)
    restarted = versions(Page(), shelf=shelf)
    await restarted.load()
    assert restarted.current() == NEW


@pytest.mark.parametrize("stored", ["2.3000.99", "latest", "2.3000", "", "2.3000.-5"])
async def test_what_is_stored_counts_only_if_it_is_a_newer_version(stored: str) -> None:
    shelf = Shelf()
    shelf.kept[ENDPOINT] = (stored, START)
    found = versions(Page(), shelf=shelf)
    await found.load()
    assert found.current() == OLD


async def test_an_override_is_presented_and_nothing_is_looked_up() -> None:
    shelf, page = Shelf(), Page(NEWER)
    shelf.kept[ENDPOINT] = ("2.3000.200", START)
    found = versions(page, shelf=shelf, override=(2, 3000, 7))
    await found.load()
    assert found.current() == (2, 3000, 7)
    assert await found.refresh((2, 3000, 7)) is None
    await found.renew()
    assert page.looks == 0
    assert found.problem is not None
    assert "PERENE_CLIENT_VERSION" in found.problem


async def test_a_thousand_sessions_refused_at_once_make_one_look() -> None:
    page = Page(NEW)
    page.open.clear()
    found = versions(page)
    waiting = [asyncio.create_task(found.refresh(OLD)) for _ in range(1000)]
    await asyncio.sleep(0)
    page.open.set()
    assert set(await asyncio.gather(*waiting)) == {NEW}
    assert page.looks == 1


async def test_a_thousand_sessions_share_a_look_in_vain() -> None:
    page = Page(PageGone("away"))
    found = versions(page)
    assert set(await asyncio.gather(*(found.refresh(OLD) for _ in range(1000)))) == {None}
    assert page.looks == 1


async def test_a_session_that_is_stopped_during_the_look_does_not_stop_the_others() -> None:
    page = Page(NEW)
    page.open.clear()
    found = versions(page)
    first, second = (asyncio.create_task(found.refresh(OLD)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    page.open.set()
    assert await second == NEW


async def test_a_session_refused_with_an_older_version_gets_the_known_one() -> None:
    page = Page(NEW)
    found = versions(page)
    await found.refresh(OLD)
    assert await found.refresh(OLD) == NEW
    assert page.looks == 1


async def test_a_version_that_was_found_and_is_refused_too_is_looked_up_again() -> None:
    found = versions(Page(NEW, NEWER))
    assert await found.refresh(OLD) == NEW
    assert await found.refresh(NEW) == NEWER


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (PageGone("It is away."), "It is away. Bring it back."),
        (OLD, "the live one is 2.3000.100"),
        ((2, 2999, 999), "the live one is 2.2999.999"),
        (RuntimeError("a bug"), "RuntimeError"),
    ],
)
async def test_a_look_in_vain_is_repeated_after_ten_minutes_at_the_earliest(
    answer: Exception | tuple[int, int, int], reason: str
) -> None:
    clock, page = VirtualClock(), Page(answer, NEW)
    found = versions(page, clock=clock)
    assert await found.refresh(OLD) is None
    assert found.problem is not None
    assert reason in found.problem
    await clock.advance(599)
    assert await found.refresh(OLD) is None
    assert page.looks == 1
    await clock.advance(1)
    assert await found.refresh(OLD) == NEW
    assert found.problem is None


async def test_a_device_is_linked_with_the_live_version_which_is_kept() -> None:
    shelf = Shelf()
    found = versions(Page(NEW), shelf=shelf)
    await found.renew()
    assert found.current() == NEW
    assert shelf.kept == {ENDPOINT: ("2.3000.200", START)}


async def test_a_live_version_that_is_older_than_ours_is_not_presented() -> None:
    shelf = Shelf()
    found = versions(Page((2, 3000, 99)), shelf=shelf)
    await found.renew()
    assert found.current() == OLD
    assert shelf.kept == {}


async def test_a_thousand_devices_of_a_day_are_linked_after_one_look() -> None:
    clock, page = VirtualClock(), Page(NEW, NEWER)
    page.open.clear()
    found = versions(page, clock=clock)
    waiting = [asyncio.create_task(found.renew()) for _ in range(1000)]
    await asyncio.sleep(0)
    page.open.set()
    await asyncio.gather(*waiting)
    await clock.advance(86_399)
    await found.renew()
    assert (page.looks, found.current()) == (1, NEW)
    await clock.advance(1)
    await found.renew()
    assert (page.looks, found.current()) == (2, NEWER)


@pytest.mark.parametrize("answer", [PageGone("away"), RuntimeError("a bug")])
async def test_a_device_is_linked_without_the_page_which_is_left_alone_for_ten_minutes(
    answer: Exception,
) -> None:
    clock, page = VirtualClock(), Page(answer, NEW)
    found = versions(page, clock=clock)
    await found.renew()
    assert (found.current(), found.problem) == (OLD, None)
    await clock.advance(599)
    await found.renew()
    assert page.looks == 1
    await clock.advance(1)
    await found.renew()
    assert found.current() == NEW


async def test_a_page_that_does_not_answer_is_waited_for_ten_seconds() -> None:
    clock, page = VirtualClock(), Page(NEW)
    page.open.clear()
    found = versions(page, clock=clock)
    waiting = asyncio.create_task(found.renew())
    await clock.until_asleep(10)
    await clock.advance(10)
    await waiting
    assert found.current() == OLD


async def test_a_login_that_is_refused_is_looked_after_though_a_look_to_link_was_in_vain() -> None:
    page = Page(PageGone("away"), NEW)
    found = versions(page)
    await found.renew()
    assert await found.refresh(OLD) == NEW


async def test_a_session_that_is_stopped_during_the_look_leaves_it_to_the_next() -> None:
    page = Page(NEW, NEW)
    page.open.clear()
    found = versions(page)
    first = asyncio.create_task(found.renew())
    await asyncio.sleep(0)
    first.cancel()
    page.open.set()
    await found.renew()
    assert found.current() == NEW


async def test_the_database_is_not_needed() -> None:
    shelf = Shelf()
    shelf.failing = StorageUnavailable("away")
    found = versions(Page(NEW), shelf=shelf)
    await found.load()
    assert found.current() == OLD
    assert await found.refresh(OLD) == NEW
    assert found.current() == NEW


async def test_a_database_that_does_not_answer_is_not_waited_for() -> None:
    shelf = Shelf()
    shelf.hanging = True
    found = versions(Page(NEW), shelf=shelf, store_patience_s=0.01)
    await found.load()
    assert await found.refresh(OLD) == NEW


async def test_a_session_that_is_refused_as_outdated_comes_back_with_what_was_found() -> None:
    clock, page = VirtualClock(), Page(PageGone("away"), NEW)
    found = versions(page, clock=clock)
    world = World(clock=clock, versions=found)
    world.store.add("ana", paired=True)
    life = asyncio.create_task(world.supervisor.run())
    (await world.engine("ana")).end(OUTDATED)
    await clock.until_asleep(3600)
    assert (len(world.engines[SessionId("ana")]), found.current()) == (1, OLD)
    await clock.advance(3600)
    await world.engine("ana", 2)
    assert found.current() == NEW
    world.supervisor.close()
    await life
