"""Privacy tokens and what sessions learned: kept for their session, and gone with it."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from perene.core.ids import Epoch, SessionId
from perene.core.privacy_tokens import PrivacyToken
from perene.store.store import Store
from tests.support.units import ANA, START, unit

pytestmark = pytest.mark.usefixtures("ana")

BOB = SessionId("bob")
ONE = PrivacyToken(person="1@lid", token=b"one", given_at=START)


async def known(store: Store, *persons: str, session: SessionId = ANA) -> list[PrivacyToken]:
    found = await store.reader(session, Epoch(0)).privacy_tokens(persons)
    return sorted(found, key=lambda one: one.person)


@pytest.mark.requirement("F10")
async def test_tokens_are_read_back_as_they_were_given(
    store: Store, open_store: Callable[[], Store]
) -> None:
    sent = PrivacyToken(person="2@lid", sent_at=START)
    await store.commit([unit(privacy_tokens=(ONE, sent))])
    other = open_store()
    assert await known(other, "1@lid", "2@lid", "3@lid") == [ONE, sent]
    assert await known(other) == []


@pytest.mark.requirement("F10")
async def test_changes_of_one_batch_and_of_later_ones_add_up(store: Store) -> None:
    later = START + timedelta(days=1)
    newer = PrivacyToken(person="1@lid", token=b"newer", given_at=later)
    sent = PrivacyToken(person="1@lid", sent_at=START)
    await store.commit([unit(privacy_tokens=(newer,)), unit(privacy_tokens=(ONE,))])
    await store.commit([unit(privacy_tokens=(sent,))])
    whole = PrivacyToken(person="1@lid", token=b"newer", given_at=later, sent_at=START)
    assert await known(store, "1@lid") == [whole]


async def test_tokens_belong_to_their_session_and_its_linked_device(store: Store) -> None:
    await store.create_session(BOB)
    await store.commit([unit(privacy_tokens=(ONE,)), unit(session=BOB, privacy_tokens=(ONE,))])
    await store.destroy_credentials(ANA, Epoch(0))
    assert await known(store, "1@lid") == []
    assert await known(store, "1@lid", session=BOB) == [ONE]


@pytest.mark.requirement("F3")
async def test_what_sessions_learned_is_kept_until_they_are_deleted(
    store: Store, open_store: Callable[[], Store]
) -> None:
    await store.create_session(BOB)
    gone = SessionId("gone")
    await store.save_hearing({ANA: b"a", BOB: b"b", gone: b"-"})
    await store.save_hearing({ANA: b"more"})
    assert await open_store().learned_hearing() == {ANA: b"more", BOB: b"b"}
    assert await open_store().learned_hearing_of(BOB) == b"b"
    await store.delete_session(BOB)
    assert await store.learned_hearing() == {ANA: b"more"}
    assert await store.learned_hearing_of(BOB) is None


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("damaged", ["CAST(x'ff41' AS TEXT)", "1000000000000", "0.5"])
async def test_what_one_session_learned_is_read_whatever_another_is_damaged_to(
    store: Store, damaged: str
) -> None:
    await store.create_session(BOB)
    await store.save_hearing({ANA: b"a", BOB: b"b"})
    row = f"UPDATE hearing SET learned = {damaged} WHERE learned = x'61'"  # noqa: S608 # by us
    await store.database.write(lambda connection: connection.exec_driver_sql(row))
    learned = await store.learned_hearing()
    assert learned[BOB] == b"b"
    assert isinstance(learned[ANA], bytes)
    assert await store.learned_hearing_of(ANA) == learned[ANA]
