"""Who holds our sender key of a group: staged, given with a message, stored with its answer."""

from perene.core.ids import MessageId
from perene.core.unit import HolderChange
from perene.engine.draft import Draft
from perene.engine.stage import Stage
from tests.support.units import GROUP
from tests.unit.engine.fakes import MemoryStore, committed

FIRST = MessageId("3EB0000000000001")
GIVEN = HolderChange(group=GROUP, added=("2.0",))


async def give(stage: Stage, store: MemoryStore) -> None:
    store.holders[GROUP] = {"1.0"}
    draft = Draft(stage)
    draft.holders.give(FIRST, GIVEN)
    draft.submit()
    await committed(store)


async def answer(stage: Stage, store: MemoryStore, *, refused: bool) -> None:
    draft = Draft(stage)
    draft.holders.answered(FIRST, refused=refused)
    draft.submit()
    await committed(store)


async def test_changes_are_staged_before_they_are_stored(stage: Stage, store: MemoryStore) -> None:
    store.holders[GROUP] = {"1.0"}
    assert await stage.holders.of(GROUP) == {"1.0"}
    draft = Draft(stage)
    draft.holders.change(HolderChange(group=GROUP, added=("2.0",)))
    draft.submit()
    assert await stage.holders.of(GROUP) == {"1.0", "2.0"}
    draft = Draft(stage)
    draft.holders.change(HolderChange(group=GROUP, forget_all=True))
    draft.submit()
    assert await stage.holders.of(GROUP) == frozenset()


async def test_who_gets_the_key_counts_at_once_and_is_stored_with_the_answer(
    stage: Stage, store: MemoryStore
) -> None:
    await give(stage, store)
    assert await stage.holders.of(GROUP) == {"1.0", "2.0"}
    assert store.holders[GROUP] == {"1.0"}
    await answer(stage, store, refused=False)
    assert store.holders[GROUP] == {"1.0", "2.0"}
    assert stage.holders.given_with(FIRST) is None


async def test_who_was_given_the_key_with_a_refused_message_has_none(
    stage: Stage, store: MemoryStore
) -> None:
    await give(stage, store)
    await answer(stage, store, refused=True)
    assert await stage.holders.of(GROUP) == store.holders[GROUP] == {"1.0"}


async def test_an_answer_about_a_key_that_was_made_anew_meanwhile_says_nothing(
    stage: Stage, store: MemoryStore
) -> None:
    await give(stage, store)
    draft = Draft(stage)
    draft.holders.change(HolderChange(group=GROUP, forget_all=True))
    draft.submit()
    await answer(stage, store, refused=False)
    assert await stage.holders.of(GROUP) == store.holders[GROUP] == frozenset()


async def test_who_is_being_given_the_key_is_not_forgotten_with_the_cache(
    stage: Stage, store: MemoryStore
) -> None:
    await give(stage, store)
    for number in range(700):
        await stage.holders.of(f"{number}@g.us")
    Draft(stage).submit()
    await committed(store)
    assert GROUP not in stage.holders.staged
    assert await stage.holders.of(GROUP) == {"1.0", "2.0"}


async def test_another_connection_knows_only_whom_the_server_gave_the_key(
    stage: Stage, store: MemoryStore
) -> None:
    await give(stage, store)
    other = Stage(store, stage.book, stage.credentials)
    assert await other.holders.of(GROUP) == {"1.0"}
