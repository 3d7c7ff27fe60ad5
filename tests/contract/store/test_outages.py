"""Outages: written with their unit by the session's owner, and listed for people."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from perene.core.causes import Cause, Kind
from perene.core.errors import NotFound, StaleEpoch
from perene.core.ids import SessionId
from perene.core.outages import Loss, Outage, OutageEnd, new_outage_id
from perene.core.unit import Committed
from perene.store.store import Store
from tests.support.units import ANA, START, unit

BOB = SessionId("bob")

pytestmark = pytest.mark.usefixtures("ana")


def outage(session: SessionId = ANA, *, began_at: datetime = START, code: str = "503") -> Outage:
    return Outage(
        id=new_outage_id(),
        session=session,
        began_at=began_at,
        cause=Cause.SERVER_UNAVAILABLE,
        kind=Kind.FAILURE,
        code=code,
        sentence="The servers had an error.",
        attributes={"reason": code, "location": "\N{GRINNING FACE}"},
        last_cause=Cause.SERVER_UNAVAILABLE,
        last_code=code,
        losses=(
            Loss(
                cause=Cause.SERVER_UNAVAILABLE,
                kind=Kind.FAILURE,
                code=code,
                attributes={"reason": code, "location": "\N{GRINNING FACE}"},
                times=3,
                first_at=began_at,
                last_at=began_at + timedelta(seconds=9),
            ),
        ),
        retry_at=began_at + timedelta(seconds=1),
    )


async def stored(store: Store, session: SessionId = ANA) -> list[Outage]:
    return [one.outage for one in await store.outages(session)]


async def test_an_outage_is_read_back_as_it_was_committed(
    store: Store, open_store: Callable[[], Store]
) -> None:
    one = outage()
    assert await store.commit([unit(outage=one)]) == [Committed(new_messages=0)]
    assert await stored(open_store()) == [one]


async def test_an_outage_keeps_its_row_from_its_begin_to_its_end(store: Store) -> None:
    one, other = outage(), outage()
    await store.commit([unit(outage=one), unit(outage=other)])
    tried = replace(
        one,
        attempts=3,
        last_attempt_at=START + timedelta(minutes=1),
        last_cause=Cause.NETWORK,
        last_code="unreachable",
        retry_at=None,
    )
    ended = replace(tried, ended_at=START + timedelta(minutes=2), end=OutageEnd.RECOVERED)
    await store.commit([unit(outage=tried), unit(outage=ended)])
    newest, oldest = await store.outages(ANA)
    assert (newest.outage, oldest.outage) == (other, ended)
    assert newest.row > oldest.row
    await store.commit([unit(outage=ended)])
    assert await stored(store) == [other, ended]


async def test_outages_are_paged_newest_first_for_each_session(store: Store) -> None:
    await store.create_session(BOB)
    mine = [outage(code=str(number)) for number in range(60)]
    theirs = outage(BOB)
    await store.commit([*(unit(outage=one) for one in mine), unit(session=BOB, outage=theirs)])
    newest = list(reversed(mine))
    first = await store.outages(ANA, limit=40)
    second = await store.outages(ANA, before=first[-1].row, limit=40)
    assert [one.outage for one in [*first, *second]] == newest
    assert await store.outages(ANA, before=second[-1].row) == []
    assert await stored(store, BOB) == [theirs]


async def test_a_stale_owner_writes_neither_outage_nor_standing(store: Store) -> None:
    await store.acquire(ANA)
    [result] = await store.commit([unit(outage=outage(), standing="late")])
    assert isinstance(result, StaleEpoch)
    assert await store.outages(ANA) == []
    assert (await store.get_session(ANA)).standing is None


async def test_the_outages_of_no_session_are_not_found(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.outages(BOB)


@pytest.mark.parametrize("text", ["a\0b", "half a pair \ud83d", "\N{GRINNING FACE}" * 3000])
async def test_no_text_from_the_server_can_fail_a_commit(store: Store, text: str) -> None:
    poisoned = replace(outage(), code=text, sentence=text, attributes={text: text}, last_code=text)
    assert await store.commit([unit(outage=poisoned)]) == [Committed(new_messages=0)]
    [kept] = await stored(store)
    assert kept.attributes == {text: text}
    assert "\0" not in kept.code + kept.sentence + kept.last_code


async def test_outages_that_ended_long_ago_are_purged(store: Store) -> None:
    still_open = outage()
    old = replace(outage(), ended_at=START, end=OutageEnd.STOPPED)
    later = replace(outage(), ended_at=START + timedelta(days=1), end=OutageEnd.LOGGED_OUT)
    await store.commit([unit(outage=one) for one in (still_open, old, later)])
    assert await store.purge(outages_before=START + timedelta(hours=1)) == 1
    assert await stored(store) == [later, still_open]
    assert await store.purge(outages_before=START + timedelta(days=99)) == 1
    assert await stored(store) == [still_open]


async def test_the_last_standing_of_a_session_outlives_a_restart(
    store: Store, open_store: Callable[[], Store]
) -> None:
    await store.create_session(BOB)
    await store.commit([unit(standing="a"), unit(session=BOB, standing="b"), unit(standing="c")])
    await store.commit([unit()])
    standings = {one.id: one.standing for one in await open_store().list_sessions()}
    assert standings == {ANA: "c", BOB: "b"}
    await store.commit([unit(standing="d"), unit(standing="")])
    assert (await store.get_session(ANA)).standing is None
    assert (await store.get_session(BOB)).standing == "b"
