"""Statements find their rows by an index: a million messages slow nothing down.

SQLite plans without statistics, so that its plans on an empty database are those of a full one.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from perene.core.account import ACCOUNT_EVENTS, LIMIT_EVENTS
from perene.core.events import EventType
from perene.core.ids import Epoch, MessageId
from perene.core.messages import Fate, Status
from perene.core.sessions import SessionRecord
from perene.core.unit import AddressPair, HolderChange
from perene.store.session_store import SessionReader
from perene.store.store import Store
from tests.contract.store.make_golden import LOST, RECEIVED, SENT, WHOLE
from tests.support.units import ANA, GROUP, LID, PN, START, entry, key, message, status, unit

GROWING = (
    "messages|ledger|ciphertexts|ratchets|sender_keys|pre_keys|address_map|conversation_addresses"
    "|outages"
)

# Reading, counting or deleting everything of a session; reading a page in the order of an index.
WHOLE_SESSION = re.compile(r"^DELETE FROM \w+ WHERE \w+\.session = \?$|count\(\*\)|LIMIT \?")


@pytest.fixture
def plans(store: Store) -> Iterator[dict[str, list[str]]]:
    """Collect each statement that is run, with SQLite's plan for it."""
    found: dict[str, list[str]] = {}

    def explain(
        connection: Connection,
        _cursor: object,
        statement: str,
        parameters: Any,
        _context: object,
        many: bool,
    ) -> None:
        if statement.startswith(("BEGIN", "PRAGMA")):
            return
        one = parameters[0] if many else parameters
        driver: Any = connection.connection.driver_connection
        plan = driver.execute(f"EXPLAIN QUERY PLAN {statement}", one)
        found[re.sub(r"\s+", " ", statement)] = [row[3] for row in plan]

    event.listen(Engine, "before_cursor_execute", explain)
    yield found
    event.remove(Engine, "before_cursor_execute", explain)


async def use_everything(store: Store) -> None:
    """Do what a session's owner and the API do in a day."""
    await write_everything(store)
    await read_as_the_owner(store.reader(ANA, Epoch(0)))
    await read_as_the_api(store)
    await store.purge(ciphertexts_before=START, events_before=START, idempotency_keys_before=START)
    await store.purge(outages_before=START, alerts_before=START)
    await store.delete_session(ANA)


async def write_everything(store: Store) -> None:
    under_pn = [key("A", chat=PN), key("B", chat=GROUP, sender=PN), key("C", chat=PN, from_me=True)]
    messages = tuple(message(one) for one in under_pn)
    await store.commit(
        [unit(messages=messages, ledger=tuple(entry(one, Fate.PENDING) for one in under_pn))]
    )
    await store.commit([unit(messages=(message(key("A", chat=LID)),))])
    await store.commit([unit(address_pairs=(AddressPair(pn=PN, lid=LID),))])
    await store.commit([replace(WHOLE, session=ANA)])
    await store.queue_message(ANA, message(SENT), idempotency_key="key")
    await store.commit(
        [
            unit(
                status_changes=(status("SENT", Status.SENT),),
                pre_keys_uploaded=(7,),
                holders=(HolderChange(group=GROUP, removed=("1.0",)),),
            ),
            unit(pre_keys_consumed=(7,)),
        ]
    )


async def read_as_the_owner(reader: SessionReader) -> None:
    await reader.credentials()
    await reader.ratchets(["1.0", "2.1"])
    await reader.ratchet_addresses(["1", "2"])
    await reader.sender_key(GROUP, "1.0")
    await reader.sender_key_addresses(["1"])
    await reader.sender_key_holders(GROUP)
    await reader.pre_keys([1, 2])
    await reader.pre_keys_not_uploaded(9)
    await reader.known_ciphertexts([b"1" * 32, b"2" * 32])
    await reader.ledger_entry(LOST)
    await reader.ledger_entry(RECEIVED)
    await reader.address_pairs([PN, LID])
    await reader.own_message(MessageId("SENT"))
    await reader.queued_messages(9)


async def read_as_the_api(store: Store) -> None:
    await store.find_messages(ANA, MessageId("A"))
    await store.list_messages(ANA, cursor=9)
    await store.list_messages(ANA, chat=PN, cursor=9)
    await store.list_conversations(ANA)
    await store.counts(ANA)
    await store.open_ledger(ANA)
    await store.events_after(0, session=ANA)
    await store.events_after(0, session=ANA, types=ACCOUNT_EVENTS)
    await store.reach(0, count=9, session=ANA, types=(EventType.MESSAGE_SENT,))
    await store.outages(ANA, limit=9)
    await store.outages(ANA, before=9, limit=9)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_no_statement_reads_more_of_a_growing_table_than_it_needs(
    store: Store, ana: SessionRecord, plans: dict[str, list[str]]
) -> None:
    assert ana.id == ANA
    await use_everything(store)
    assert len(plans) > 50
    scan = re.compile(rf"SCAN ({GROWING})\b")
    only_session = re.compile(rf"SEARCH ({GROWING}) .*\(session=\?\)$")
    guilty = {
        statement: plan
        for statement, plan in plans.items()
        if any(scan.search(step) or only_session.search(step) for step in plan)
        and not WHOLE_SESSION.search(statement)
    }
    assert guilty == {}


@pytest.mark.parametrize("types", [ACCOUNT_EVENTS, LIMIT_EVENTS])
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_what_an_account_was_told_is_found_among_millions_of_events(
    store: Store,
    ana: SessionRecord,
    plans: dict[str, list[str]],
    types: tuple[EventType, ...],
) -> None:
    await store.events_after(0, session=ana.id, types=types)
    assert [step for plan in plans.values() for step in plan] == [
        "SEARCH outbox USING INDEX ix_outbox_account (session=? AND seq>?)"
    ]
    assert await store.reach(0, count=1, session=ana.id, types=types) is None
