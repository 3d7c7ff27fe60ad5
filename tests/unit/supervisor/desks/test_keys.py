"""Keys are looked up in the database; for what is told from memory, some need not be."""

import asyncio
import hashlib
from collections.abc import Coroutine
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from perene.core.errors import StorageUnavailable
from perene.supervisor.desks.keys import LOOK_EVERY_S, Keyholder
from perene.supervisor.ports import Caller
from perene.supervisor.storage.retries import Retries
from perene.supervisor.storage.saver import SavePolicy
from tests.support.virtual_clock import VirtualClock

PATIENCE_S = 1.0
ASKED_AGAIN_AFTER_S = 10.0
REMEMBERED_FOR_S = 900.0


@dataclass(frozen=True, slots=True)
class Key:
    name: str

    @property
    def id(self) -> str:
        return f"k_{self.name}"


@dataclass
class KeyStore:
    """Knows keys by their text, and answers when a test lets it."""

    owners: dict[str, str] = field(default_factory=lambda: {"pk_desk": "desk"})
    down: bool = False
    hangs: bool = False
    asked: int = 0

    def __post_init__(self) -> None:
        self._speaks = asyncio.Event()

    async def verify_api_key(self, key: str) -> Key | None:
        self.asked += 1
        found = self.owners.get(key)
        if self.down:
            raise StorageUnavailable("down")
        if self.hangs:
            self._speaks.clear()
            await self._speaks.wait()
        return None if found is None else Key(found)

    async def list_api_keys(self) -> list[Key]:
        found = [Key(name) for name in self.owners.values()]
        if self.down:
            raise StorageUnavailable("down")
        if self.hangs:
            self._speaks.clear()
            await self._speaks.wait()
        return found

    def speak(self) -> None:
        """Answer what was asked, with what was true then."""
        self.hangs = False
        self._speaks.set()


class Rig:
    """A keyholder, its store, and a clock."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = KeyStore()
        self.keys = Keyholder(self.store, self.clock, Retries(self.clock, SavePolicy()))

    async def recognise(self, key: str = "pk_desk") -> str | None:
        """Recognise a key, letting it wait as long as it wants; the answer takes no longer."""
        return await self._waited_for(self.keys.recognise(key))

    async def verify(self, key: str) -> str | None:
        """Verify a key in the same way."""
        return await self._waited_for(self.keys.verify(key))

    async def _waited_for(self, answer: Coroutine[None, None, Caller | None]) -> str | None:
        asking = asyncio.create_task(answer)
        await asyncio.sleep(0)
        while not asking.done() and self.clock.next_in is not None:
            await self.clock.advance(self.clock.next_in)
        return _name(await asking)


def _name(caller: Caller | None) -> str | None:
    return None if caller is None else caller.name


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_a_key_is_known_by_the_name_of_its_owner(rig: Rig) -> None:
    assert await rig.verify("pk_desk") == "desk"
    assert await rig.verify("pk_other") is None
    assert await rig.recognise("pk_desk") == "desk"
    assert await rig.recognise("pk_other") is None


async def test_the_database_is_asked_while_it_answers(rig: Rig) -> None:
    for _ in range(3):
        assert await rig.recognise("pk_desk") == "desk"
    assert rig.store.asked == 3


async def test_a_key_that_was_known_is_recognised_without_a_database_and_no_other(
    rig: Rig,
) -> None:
    await rig.verify("pk_desk")
    rig.store.owners["pk_new"] = "new"
    rig.store.down = True
    assert await rig.recognise() == "desk"
    for other in ("pk_new", "pk_des", "pk_desk ", "", "\ud800"):
        with pytest.raises(StorageUnavailable):
            await rig.recognise(other)
    with pytest.raises(StorageUnavailable):
        await rig.verify("pk_desk")


@pytest.mark.requirement("E8")
async def test_a_database_that_restarts_is_waited_for_by_whoever_needs_it(rig: Rig) -> None:
    rig.store.down = True
    asking = asyncio.create_task(rig.keys.verify("pk_desk"))
    await rig.clock.until_asleep(2)
    rig.store.down = False
    await rig.clock.advance(2)
    assert _name(await asking) == "desk"


async def test_a_database_that_hangs_is_not_waited_for_long_nor_by_everybody(rig: Rig) -> None:
    await rig.verify("pk_desk")
    rig.store.hangs = True
    began = rig.clock.monotonic()
    assert await rig.recognise() == "desk"
    assert rig.clock.monotonic() - began == PATIENCE_S
    asked = rig.store.asked
    for _ in range(9):
        assert await rig.recognise() == "desk"
        await rig.clock.advance(ASKED_AGAIN_AFTER_S / 10)
    assert rig.store.asked == asked
    await rig.clock.advance(ASKED_AGAIN_AFTER_S / 10)
    began = rig.clock.monotonic()
    assert await rig.recognise() == "desk"
    assert rig.clock.monotonic() - began == PATIENCE_S
    assert rig.store.asked == asked + 1


async def test_a_database_that_answers_again_is_asked_at_once(rig: Rig) -> None:
    await rig.verify("pk_desk")
    rig.store.hangs = True
    assert await rig.recognise() == "desk"
    rig.store.speak()
    del rig.store.owners["pk_desk"]
    rig.store.owners["pk_other"] = "other"
    assert await rig.verify("pk_other") == "other"
    assert await rig.recognise() is None


async def test_a_key_that_is_found_to_be_revoked_passes_no_more(rig: Rig) -> None:
    await rig.verify("pk_desk")
    del rig.store.owners["pk_desk"]
    assert await rig.verify("pk_desk") is None
    rig.store.down = True
    with pytest.raises(StorageUnavailable):
        await rig.recognise()


async def test_a_key_that_was_revoked_unseen_is_forgotten_at_the_next_look(rig: Rig) -> None:
    looking = asyncio.create_task(rig.keys.run())
    await rig.verify("pk_desk")
    reading = asyncio.create_task(rig.keys.revoked("k_desk"))
    await rig.clock.advance(10 * LOOK_EVERY_S)
    assert not reading.done()
    with capture_logs() as lines:
        del rig.store.owners["pk_desk"]
        await rig.clock.advance(LOOK_EVERY_S)
        await rig.clock.advance(LOOK_EVERY_S)
    await reading
    assert lines == [
        {"event": "api_key_revoked", "log_level": "info", "key_id": "k_desk", "owner": "desk"}
    ]
    rig.store.down = True
    with pytest.raises(StorageUnavailable):
        await rig.recognise()
    looking.cancel()


async def test_looks_go_on_after_an_outage_and_tell_of_keys_that_were_made(rig: Rig) -> None:
    looking = asyncio.create_task(rig.keys.run())
    await rig.clock.advance(0)
    rig.store.down = True
    await rig.clock.advance(3 * ASKED_AGAIN_AFTER_S)
    rig.store.down = False
    rig.store.owners["pk_new"] = "new"
    with capture_logs() as lines:
        await rig.clock.advance(ASKED_AGAIN_AFTER_S)
    assert [(line["event"], line["key_id"]) for line in lines] == [("api_key_created", "k_new")]
    looking.cancel()


async def test_a_key_that_is_younger_than_the_list_is_not_taken_for_revoked(rig: Rig) -> None:
    rig.store.hangs = True
    looking = asyncio.create_task(rig.keys.look())
    await asyncio.sleep(0)
    rig.store.hangs = False
    rig.store.owners["pk_new"] = "new"
    assert await rig.verify("pk_new") == "new"
    rig.store.speak()
    await looking
    reading = asyncio.create_task(rig.keys.revoked("k_new"))
    await asyncio.sleep(0)
    assert not reading.done()
    rig.store.down = True
    assert await rig.recognise("pk_new") == "new"
    reading.cancel()


async def test_an_older_list_does_not_bring_a_revoked_key_back(rig: Rig) -> None:
    await rig.verify("pk_desk")
    rig.store.hangs = True
    looking = asyncio.create_task(rig.keys.look())
    await asyncio.sleep(0)
    rig.store.hangs = False
    del rig.store.owners["pk_desk"]
    assert await rig.verify("pk_desk") is None
    rig.store.speak()
    await looking
    await asyncio.wait_for(rig.keys.revoked("k_desk"), PATIENCE_S)


async def test_a_revocation_that_another_request_finds_in_the_meantime_counts(rig: Rig) -> None:
    await rig.verify("pk_desk")
    rig.store.hangs = True
    waiting = asyncio.create_task(rig.keys.recognise("pk_desk"))
    await asyncio.sleep(0)
    rig.store.hangs = False
    del rig.store.owners["pk_desk"]
    assert await rig.verify("pk_desk") is None
    await rig.clock.advance(PATIENCE_S)
    with pytest.raises(StorageUnavailable):
        await waiting


async def test_an_older_answer_does_not_bring_a_revoked_key_back(rig: Rig) -> None:
    await rig.verify("pk_desk")
    rig.store.hangs = True
    older = asyncio.create_task(rig.keys.verify("pk_desk"))
    await asyncio.sleep(0)
    rig.store.hangs = False
    del rig.store.owners["pk_desk"]
    assert await rig.verify("pk_desk") is None
    rig.store.speak()
    assert _name(await older) == "desk"
    rig.store.down = True
    with pytest.raises(StorageUnavailable):
        await rig.recognise()


async def test_a_key_is_remembered_for_a_quarter_of_an_hour_after_it_was_last_known(
    rig: Rig,
) -> None:
    await rig.verify("pk_desk")
    await rig.clock.advance(REMEMBERED_FOR_S - 1)
    await rig.verify("pk_desk")
    rig.store.down = True
    await rig.clock.advance(REMEMBERED_FOR_S - 1)
    assert await rig.recognise() == "desk"
    await rig.clock.advance(1)
    with pytest.raises(StorageUnavailable):
        await rig.recognise()


async def test_a_clock_that_is_set_back_a_little_makes_no_old_key_a_young_one(rig: Rig) -> None:
    await rig.verify("pk_desk")
    await rig.clock.advance(REMEMBERED_FOR_S + 60)
    rig.clock.jump(-300)
    rig.store.down = True
    with pytest.raises(StorageUnavailable):
        await rig.recognise()


@pytest.mark.parametrize("jump_s", [REMEMBERED_FOR_S, -1.0])
async def test_a_clock_that_was_set_makes_no_key_last_longer(rig: Rig, jump_s: float) -> None:
    await rig.verify("pk_desk")
    rig.store.down = True
    rig.clock.jump(jump_s)
    with pytest.raises(StorageUnavailable):
        await rig.recognise()


async def test_no_more_than_a_hundred_keys_are_remembered_those_known_last(rig: Rig) -> None:
    rig.store.owners = {f"pk_{number}": str(number) for number in range(101)}
    for number in (0, 1, 0):
        await rig.verify(f"pk_{number}")
    for number in range(2, 101):
        await rig.verify(f"pk_{number}")
    rig.store.down = True
    assert await rig.recognise("pk_0") == "0"
    assert await rig.recognise("pk_100") == "100"
    with pytest.raises(StorageUnavailable):
        await rig.recognise("pk_1")


async def test_an_outage_is_logged_once_and_neither_log_nor_memory_holds_a_key(rig: Rig) -> None:
    with capture_logs() as lines:
        await rig.verify("pk_desk")
        rig.store.down = True
        for _ in range(3):
            await rig.recognise()
    (line,) = lines
    assert (line["event"], line["owner"]) == ("api_keys_not_looked_up", "desk")
    kept = [value for value in vars(rig.keys).values() if value is not rig.store]
    for held in ("pk_desk", repr(hashlib.sha256(b"pk_desk").digest())):
        assert held not in repr((line, kept))
