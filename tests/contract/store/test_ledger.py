"""The ledger: every inbound id ends in a known state, and a good end is never taken back."""

from datetime import timedelta

import pytest

from perene.core.ids import Epoch
from perene.core.messages import Fate
from perene.store.store import Store
from tests.support.units import ANA, START, ManualClock, entry, key, unit

pytestmark = pytest.mark.usefixtures("ana")

SETTLED = [Fate.DELIVERED, Fate.RECOVERED, Fate.CONTROL]
OPEN = [Fate.PENDING, Fate.LOST]


async def commit(store: Store, *fates: Fate, together: bool) -> Fate:
    one = key()
    units = [unit(ledger=(entry(one, fate, minutes=n),)) for n, fate in enumerate(fates)]
    for batch in [units] if together else [[each] for each in units]:
        await store.commit(batch)
    found = await store.reader(ANA, Epoch(0)).ledger_entry(one)
    assert found is not None
    return found.fate


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "one by one"])
async def test_a_good_end_is_never_taken_back(store: Store, together: bool) -> None:
    for first in SETTLED:
        for later in Fate:
            assert await commit(store, first, later, together=together) is first


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "one by one"])
async def test_what_arrives_after_all_was_recovered(store: Store, together: bool) -> None:
    for first in OPEN:
        assert await commit(store, first, Fate.DELIVERED, together=together) is Fate.RECOVERED
        assert await commit(store, first, Fate.CONTROL, together=together) is Fate.CONTROL
        for later in OPEN:
            assert await commit(store, first, later, together=together) is later
    story = (Fate.PENDING, Fate.LOST, Fate.DELIVERED, Fate.PENDING)
    assert await commit(store, *story, together=together) is Fate.RECOVERED


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "one by one"])
async def test_an_entry_keeps_its_retries_and_its_reason(store: Store, together: bool) -> None:
    one = key()
    units = [
        unit(ledger=(entry(one, Fate.PENDING, reason="bad_mac", retries=1),)),
        unit(ledger=(entry(one, Fate.PENDING, reason="no_ratchet", retries=2, minutes=1),)),
        unit(ledger=(entry(one, Fate.DELIVERED, minutes=2),)),
    ]
    for batch in [units] if together else [[each] for each in units]:
        await store.commit(batch)
    found = await store.reader(ANA, Epoch(0)).ledger_entry(one)
    assert found is not None
    assert (found.reason, found.retries) == ("no_ratchet", 2)
    assert found.at == START + timedelta(minutes=2)


async def test_an_id_that_was_never_seen_has_no_entry(store: Store) -> None:
    assert await store.reader(ANA, Epoch(0)).ledger_entry(key()) is None


async def test_open_entries_are_listed_oldest_first(store: Store) -> None:
    entries = [
        entry(key("B"), Fate.PENDING, minutes=2),
        entry(key("A"), Fate.PENDING, minutes=1),
        entry(key("C"), Fate.LOST, minutes=3),
        entry(key("D"), Fate.DELIVERED, minutes=0),
    ]
    await store.commit([unit(ledger=tuple(entries))])
    assert await store.open_ledger(ANA) == [entries[1], entries[0]]
    assert await store.open_ledger(ANA, fate=Fate.LOST) == [entries[2]]
    assert await store.open_ledger(ANA, limit=1) == [entries[1]]


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "one by one"])
async def test_what_is_wanted_of_the_phone_is_listed_until_it_was_asked_or_has_come(
    store: Store, together: bool
) -> None:
    reader = store.reader(ANA, Epoch(0))
    stories = {
        "old": [(Fate.LOST, -60, True)],
        "never": [(Fate.LOST, 1, None)],
        "wanted": [(Fate.PENDING, 2, True)],
        "still": [(Fate.PENDING, 3, True), (Fate.LOST, 4, None)],
        "later": [(Fate.PENDING, 5, None), (Fate.LOST, 6, True)],
        "asked": [(Fate.LOST, 7, True), (Fate.LOST, 8, False), (Fate.LOST, 9, True)],
        "come": [(Fate.LOST, 10, True), (Fate.DELIVERED, 11, None)],
    }
    units = [
        unit(ledger=(entry(key(name), fate, minutes=at, wants_phone=wants),))
        for name, story in stories.items()
        for fate, at, wants in story
    ]
    for batch in [units] if together else [[each] for each in units]:
        await store.commit(batch)
    found = await reader.wanted_of_phone(since=START, limit=10)
    assert [one.key.id for one in found] == ["later", "still", "wanted"]
    assert found[0] == entry(key("later"), Fate.LOST, minutes=6, wants_phone=True)
    [newest] = await reader.wanted_of_phone(since=START, limit=1)
    assert newest.key.id == "later"
    asked = await reader.ledger_entry(key("asked"))
    assert asked is not None
    assert asked.wants_phone is False


async def test_ciphertexts_are_forgotten_after_their_time(store: Store, clock: ManualClock) -> None:
    reader = store.reader(ANA, Epoch(0))
    old, new = b"o" * 32, b"n" * 32
    await store.commit([unit(ciphertexts=(old, old)), unit(ciphertexts=(old,))])
    await clock.sleep(15 * 24 * 3600)
    await store.commit([unit(ciphertexts=(new,))])
    assert await store.purge(ciphertexts_before=clock.now() - timedelta(days=14)) == 1
    assert await reader.known_ciphertexts([old, new]) == {new}
    assert await store.purge(ciphertexts_before=clock.now() - timedelta(days=14)) == 0
    assert await reader.known_ciphertexts([]) == frozenset()
