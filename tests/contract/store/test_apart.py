"""Sessions live side by side: what is asked of one is told of that one, whatever others hold."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from perene.core.errors import NotFound
from perene.core.events import EventType
from perene.core.ids import Epoch, MessageId, SessionId
from perene.core.messages import Fate, MessageKey, Status
from perene.core.outages import OutageId
from perene.core.privacy_tokens import PrivacyToken
from perene.core.unit import (
    AddressPair,
    HolderChange,
    PeerMessage,
    PreKeyWrite,
    RatchetWrite,
    SenderKeyWrite,
    Unit,
)
from perene.store.schema import messages
from perene.store.store import Store
from tests.contract.store.make_golden import ALERT, OUTAGE
from tests.contract.store.whole import BOB, full
from tests.support.units import (
    ANA,
    GROUP,
    LID,
    OTHER_LID,
    PN,
    START,
    Bytes,
    entry,
    event,
    key,
    message,
    status,
    unit,
)

pytestmark = pytest.mark.requirement("C8", "C9", "F10")

ADDRESSES = [PN, LID, "5511900000002@s.whatsapp.net", OTHER_LID, GROUP]
KEYS = [
    *(key(id_, chat=chat) for id_ in "AB" for chat in (LID, OTHER_LID)),
    *(key(id_, chat=LID, from_me=True) for id_ in "CDEF"),
    key("A", chat=GROUP, sender=LID),
    key("B", chat="3@lid", from_me=True),
]
PEERS = ["1.0", "1.1", "2.0"]


def lived(session: SessionId, keys: Sequence[MessageKey], first: int, number: int) -> list[Unit]:
    """Fill a session: with these messages, under pre-keys, hashes and such from a number on."""
    numbers = (first, first + number)
    peers = PEERS[first : first + 2]
    pairs = list(zip(ADDRESSES[::2], ADDRESSES[1::2], strict=False))[: 1 + first]
    return [
        replace(
            full(session),
            messages=tuple(message(one, body=session.encode()) for one in keys),
            ledger=tuple(
                entry(one, fate, reason=session)
                for place, one in enumerate(keys)
                for fate in [list(Fate)[(place + first) % len(Fate)]]
            ),
            ratchets=tuple(RatchetWrite(address=a, state=Bytes(b"r")) for a in peers),
            sender_keys=tuple(
                SenderKeyWrite(group=f"{n}@g.us", address=a, state=Bytes(b"s"))
                for a in peers
                for n in numbers
            ),
            holders=(HolderChange(group=GROUP, added=tuple(peers)),),
            pre_keys_added=tuple(PreKeyWrite(id=n, private=b"p") for n in numbers),
            ciphertexts=tuple(bytes([n]) * 32 for n in numbers),
            address_pairs=tuple(AddressPair(pn=pn, lid=lid) for pn, lid in pairs),
            peer_messages=tuple(PeerMessage(id=f"{n}", kind="k", body=b"p") for n in numbers),
            privacy_tokens=tuple(PrivacyToken(person=f"{n}@lid", token=b"t") for n in numbers),
            events=(event(), event(EventType.SESSION_LIMITED)),
        ),
        unit(session=session, status_changes=(status("CD"[first], Status.SENT),)),
        unit(
            session=session,
            outage=replace(
                OUTAGE,
                id=OutageId(f"another of {session}"),
                session=session,
                ended_at=None,
                end=None,
            ),
        ),
    ]


async def fill(store: Store, session: SessionId, keys: Sequence[MessageKey], first: int) -> None:
    await store.create_session(session)
    await store.commit(lived(session, keys, first, 2))
    await store.archive_credentials(session, Epoch(0), "unlinked")
    await store.commit(lived(session, keys, first, 3))
    own = message(key(f"Q{first}", chat=OTHER_LID, from_me=True))
    await store.queue_message(session, own, idempotency_key=session, request_hash=b"h")
    await store.save_alerts([replace(ALERT, id=f"alert of {session}", subject=session)])
    await store.save_hearing({session: session.encode()})


async def told(store: Store, session: SessionId) -> dict[str, object]:
    """Ask everything that there is to be asked of a session."""
    reader = store.reader(session, Epoch(0))
    ids = [MessageId(one) for one in ("A", "B", "C", "D", "E", "F", "Q0", "Q1")]
    rows: dict[int, object] = {}
    for row in await store.database.read(
        lambda c: c.execute(select(messages.c.id)).scalars().all()
    ):
        try:
            rows[row] = await store.get_message(session, row)
        except NotFound:
            continue
    return {
        "session": await store.get_session(session),
        "credentials": await reader.credentials(),
        "archive": await store.archived_credentials(session),
        "ratchets": await reader.ratchets(PEERS),
        "peers": await reader.ratchet_addresses(["1", "2"]),
        "senders": await reader.sender_key_addresses(["1", "2"]),
        "sender keys": [
            await reader.sender_key(f"{n}@g.us", peer) for n in range(5) for peer in PEERS
        ],
        "holders": await reader.sender_key_holders(GROUP),
        "pre-keys": await reader.pre_keys(range(9)),
        "new pre-keys": await reader.pre_keys_not_uploaded(9),
        "hashes": await reader.known_ciphertexts([bytes([n]) * 32 for n in range(9)]),
        "fates": [await reader.ledger_entry(one) for one in KEYS],
        "pairs": await reader.address_pairs(ADDRESSES),
        "own": [await reader.own_message(one) for one in ids],
        "queued": await reader.queued_messages(9),
        "queued again": await reader.queued_messages(9),
        "of own devices": await reader.peer_messages("k", limit=9),
        "all of own devices": await store.peer_messages(session, limit=9),
        "tokens": await reader.privacy_tokens([f"{n}@lid" for n in range(5)]),
        "limits": (await reader.limit_history(0)).events,
        "chats": [await reader.chat_standing(chat) for chat in ADDRESSES],
        "begun": await store.chats_started(session, START - timedelta(days=1)),
        "of key": [await store.message_of_key(session, k, b"h") for k in ("ana", "bob")],
        "rows": rows,
        "found": [await store.find_messages(session, one) for one in ids],
        "listed": await store.list_messages(session),
        "of chats": [await store.list_messages(session, chat=chat) for chat in ADDRESSES],
        "conversations": await store.list_conversations(session),
        "counts": await store.counts(session),
        "open": [await store.open_ledger(session, fate=f) for f in (Fate.PENDING, Fate.LOST)],
        "outages": await store.outages(session),
        "events": await store.events_after(0, session=session),
        "alerts": await store.list_alerts(subject=session),
        "hearing": (await store.learned_hearing()).get(session),
    }


async def test_what_is_told_of_a_session_is_its_own_whatever_becomes_of_another(
    store: Store,
) -> None:
    await fill(store, ANA, [KEYS[0], *KEYS[2:]], 0)
    before = await told(store, ANA)
    assert not [name for name, found in before.items() if found in ([], {}, (), None)]

    await fill(store, BOB, KEYS[1:], 1)
    assert await told(store, ANA) == before
    await store.destroy_credentials(BOB, Epoch(0))
    assert await told(store, ANA) == before
    await store.delete_session(BOB)
    while await store.remove_remains():
        pass
    assert await told(store, ANA) == before
