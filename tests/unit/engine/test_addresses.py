"""Which of a person's addresses is the canonical one, while stanzas show more of them."""

import asyncio
from collections.abc import Collection, Sequence
from unittest.mock import patch

import pytest

from perene.core.unit import AddressPair
from perene.engine.stage import Stage
from perene.wire.jid import Jid
from tests.unit.engine.fakes import MemoryStore

PN, LID = "15550000002@s.whatsapp.net", "200000000000002@lid"
FORMER, OTHER_PN = "200000000000009@lid", "15550000009@s.whatsapp.net"


@pytest.mark.parametrize(
    "stored",
    [AddressPair(pn=PN, lid=FORMER), AddressPair(pn=OTHER_PN, lid=LID)],
    ids=["the number was another's", "they had another number"],
)
async def test_what_shows_while_the_store_is_asked_counts_more_than_its_answer(
    stage: Stage, store: MemoryStore, stored: AddressPair
) -> None:
    """Else they are written to under an address that is theirs no more, until they write again."""
    store.pairs = [stored]
    asked, may_answer = asyncio.Event(), asyncio.Event()
    pairs_in = store.address_pairs

    async def slow(addresses: Collection[str]) -> Sequence[AddressPair]:
        found = await pairs_in(addresses)
        asked.set()
        await may_answer.wait()
        return found

    with patch.object(store, "address_pairs", slow):
        loading = asyncio.create_task(stage.book.load([Jid.parse(PN), Jid.parse(LID)]))
        await asked.wait()
        stage.book.learn([AddressPair(pn=PN, lid=LID)])
        may_answer.set()
        await loading
    assert stage.book.canonical(Jid.parse(PN)) == Jid.parse(LID)
    assert stage.book.phone_number(Jid.parse(LID)) == Jid.parse(PN)


async def test_who_had_an_address_before_takes_it_from_nobody(
    stage: Stage, store: MemoryStore
) -> None:
    """The pair that shows otherwise may still be on its way to the store."""
    store.pairs = [AddressPair(pn=PN, lid=FORMER)]
    stage.book.learn([AddressPair(pn=PN, lid=LID)])
    await stage.book.load([Jid.parse(FORMER)])
    assert stage.book.canonical(Jid.parse(PN)) == Jid.parse(LID)
    assert stage.book.phone_number(Jid.parse(FORMER)) is None


async def test_of_a_pair_that_is_half_forgotten_the_other_half_is_read_again(
    stage: Stage, store: MemoryStore
) -> None:
    """The book has room for so many numbers and so many LIDs, and keeps them one by one."""
    store.pairs = [AddressPair(pn=PN, lid=LID)]
    stage.book.learn([AddressPair(pn=PN, lid=LID)])
    many = [f"{n}@lid" for n in range(3000)]
    stage.book.learn(AddressPair(pn=OTHER_PN, lid=lid) for lid in many)
    assert stage.book.phone_number(Jid.parse(LID)) is None
    await stage.book.load([Jid.parse(LID)])
    assert stage.book.phone_number(Jid.parse(LID)) == Jid.parse(PN)
