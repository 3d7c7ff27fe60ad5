"""A commit of many sessions asks the database no more often than one of few."""

from collections.abc import Iterator, Sequence

import pytest
from sqlalchemy import Engine, event

from perene.core.ids import SessionId
from perene.core.messages import Fate, Status
from perene.core.unit import AddressPair, Committed, RatchetWrite, Unit
from perene.store.store import Store
from tests.support.units import Bytes, entry, key, message, status, unit

FEW, MANY = 3, 40


@pytest.fixture
def asked() -> Iterator[list[str]]:
    """Collect the statements that are run, one for each time that the database is asked."""
    found: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        found.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield found
    event.remove(Engine, "before_cursor_execute", note)


def first_contact(session: SessionId, number: int) -> Unit:
    """A person whom nobody knew writes, from a phone number with a LID."""
    pn, lid = f"55119{number:08}@s.whatsapp.net", f"2{number:014}@lid"
    received = key(f"IN{number}", chat=lid)
    return unit(
        session=session,
        messages=(message(received),),
        ledger=(entry(received, Fate.DELIVERED),),
        ratchets=(RatchetWrite(address=f"2{number:014}.0", state=Bytes(b"state")),),
        ciphertexts=(number.to_bytes(32),),
        pre_keys_consumed=(number,),
        address_pairs=(AddressPair(pn=pn, lid=lid),),
    )


def to_somebody(session: SessionId, number: int) -> Unit:
    """An own message goes to a number whose LID is not known."""
    chat = f"55118{number:08}@s.whatsapp.net"
    return unit(session=session, messages=(message(key(f"OUT{number}", chat=chat, from_me=True)),))


def receipt(session: SessionId, number: int) -> Unit:
    """The own message arrives."""
    return unit(session=session, status_changes=(status(f"OUT{number}", Status.DELIVERED),))


async def test_what_many_sessions_commit_together_costs_no_more_round_trips(
    store: Store, asked: list[str]
) -> None:
    sessions = [SessionId(f"s{number}") for number in range(FEW + MANY)]
    for session in sessions:
        await store.create_session(session)
    counts = [
        [
            await count(store, asked, [kind(session, number) for number, session in group])
            for kind in (first_contact, to_somebody, receipt)
        ]
        for group in (
            list(enumerate(sessions[:FEW])),
            list(enumerate(sessions[FEW:], start=FEW)),
        )
    ]
    assert counts[0] == counts[1]


async def count(store: Store, asked: list[str], units: Sequence[Unit]) -> int:
    """Commit, and return how often the database was asked for it."""
    asked.clear()
    outcomes = await store.commit(units)
    assert all(isinstance(outcome, Committed) for outcome in outcomes), outcomes
    return len(asked)
