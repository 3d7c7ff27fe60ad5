"""Write a database of the present schema for later versions to open: run it once per migration.

    .venv/bin/python -m tests.contract.store.make_golden

A file that is committed is never written again: it stands for the databases that users have.
"""

import asyncio
import sqlite3
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from perene.core.alerts import Alert, Notification, Severity
from perene.core.causes import Cause, Kind
from perene.core.events import EventType
from perene.core.failures import Failure
from perene.core.ids import Epoch, EventId, MessageId, SessionId
from perene.core.messages import Fate, MessageKey, Status
from perene.core.outages import Loss, Outage, OutageEnd, OutageId
from perene.core.privacy_tokens import PrivacyToken
from perene.core.sessions import Desired, SessionOptions
from perene.core.unit import (
    AddressPair,
    HolderChange,
    PeerMessage,
    PreKeyWrite,
    Profile,
    RatchetWrite,
    SenderKeyWrite,
)
from perene.store.migrations import HEAD
from perene.store.store import Store
from tests.support.units import (
    GROUP,
    LID,
    ME,
    PN,
    START,
    Bytes,
    ManualClock,
    entry,
    event,
    message,
    status,
    unit,
)

FOLDER = Path(__file__).parent / "golden"
MASTER_KEY = "Z29sZGVuIGdvbGRlbiBnb2xkZW4gZ29sZGVuIGdvbGQ="
SESSION = SessionId("golden")
RECEIVED = MessageKey(chat=LID, sender=LID, id=MessageId("RECEIVED"), from_me=False)
LOST = MessageKey(chat=GROUP, sender=LID, id=MessageId("LOST"), from_me=False)
SENT = MessageKey(chat=LID, sender=ME, id=MessageId("SENT"), from_me=True)
REFUSED = MessageKey(chat=LID, sender=ME, id=MessageId("REFUSED"), from_me=True)
FAILURE = Failure.of_refusal("463")
OPTIONS = SessionOptions(history_sync=True, proxy="http://user:password@proxy")
TOLD = replace(event(EventType.MESSAGE_RECEIVED, id="RECEIVED"), id=EventId("evt_golden"))

OUTAGE = Outage(
    id=OutageId("golden-outage"),
    session=SESSION,
    began_at=START,
    cause=Cause.TEMPORARY_BAN,
    kind=Kind.FAILURE,
    code="402",
    sentence="Banned for an hour.",
    attributes={"reason": "402", "expire": "3600"},
    attempts=2,
    last_attempt_at=START + timedelta(hours=1),
    last_cause=Cause.NETWORK,
    last_code="unreachable",
    losses=(
        Loss(
            cause=Cause.TEMPORARY_BAN,
            kind=Kind.FAILURE,
            code="402",
            attributes={"reason": "402", "expire": "3600"},
            first_at=START,
            last_at=START,
        ),
        Loss(
            cause=Cause.NETWORK,
            kind=Kind.LOCAL,
            code="unreachable",
            times=2,
            first_at=START + timedelta(minutes=30),
            last_at=START + timedelta(hours=1),
        ),
    ),
    retry_at=START + timedelta(hours=2),
    ended_at=START + timedelta(hours=3),
    end=OutageEnd.RECOVERED,
)
STANDING = '{"restarts": 2}'
ALERT = Alert(
    id="golden-alert",
    rule="session_down",
    subject=SESSION,
    severity=Severity.CRITICAL,
    sentence="The session is down.",
    value=0.5,
    began_at=START,
    fired_at=START + timedelta(minutes=5),
    resolved_at=START + timedelta(hours=3),
    notified=(
        Notification(at=START + timedelta(minutes=5), ok=False, detail="no answer"),
        Notification(at=START + timedelta(minutes=6), ok=True),
    ),
)
CONDITIONS = {("session_needs_pairing", "golden"): START + timedelta(hours=1)}
ENDPOINT = "wss://chat.example/ws"

PRIVACY_TOKEN = PrivacyToken(person="1@lid", token=b"token", given_at=START, sent_at=START)
LEARNED = b"learned"
WHOLE = unit(
    session=SESSION,
    credentials=Bytes(b"credentials"),
    profile=Profile(pn="5511900000009:3@s.whatsapp.net", lid="99:3@lid", push_name="Golden"),
    ratchets=(RatchetWrite(address="100000000000001_1.2", state=Bytes(b"ratchet")),),
    sender_keys=(SenderKeyWrite(group=GROUP, address="1_1.2", state=Bytes(b"sender key")),),
    holders=(HolderChange(group=GROUP, added=("1_1.2",)),),
    pre_keys_added=(PreKeyWrite(id=7, private=b"7" * 32),),
    address_pairs=(AddressPair(pn=PN, lid=LID),),
    messages=(replace(message(RECEIVED, body=b"received"), event=TOLD),),
    peer_messages=(PeerMessage(id="PEER", kind="app_state_key_share", body=b"peer"),),
    ledger=(
        entry(RECEIVED, Fate.DELIVERED),
        entry(LOST, Fate.PENDING, reason="bad_mac", retries=2),
    ),
    ciphertexts=(b"h" * 32,),
    privacy_tokens=(PRIVACY_TOKEN,),
    outage=OUTAGE,
    standing=STANDING,
)


async def fill(store: Store) -> None:
    """Write one of everything."""
    await store.create_session(SESSION, name="Golden", desired=Desired.STOPPED, options=OPTIONS)
    await store.commit([replace(WHOLE, credentials=Bytes(b"unlinked"), messages=(), ledger=())])
    await store.archive_credentials(SESSION, Epoch(0), "device_removed")
    await store.commit([WHOLE])
    sent = message(SENT, body=b"sent", tell=False, status=Status.QUEUED)
    await store.queue_message(SESSION, sent, idempotency_key="key", request_hash=b"hash")
    await store.queue_message(SESSION, message(REFUSED, status=Status.QUEUED, tell=False))
    failed = status(REFUSED.id, Status.FAILED, failure=FAILURE)
    await store.commit([unit(session=SESSION, status_changes=(failed,))])
    await store.create_api_key("desk")
    await store.save_alerts([ALERT])
    await store.save_alert_conditions(CONDITIONS)
    await store.save_client_version(ENDPOINT, "2.3000.1", START)
    await store.save_hearing({SESSION: LEARNED})
    await store.close()


def main() -> None:
    """Write the file of the present schema, unless it exists."""
    target = FOLDER / f"schema_{HEAD}.sql"
    if target.exists():
        raise SystemExit(f"{target} exists: a golden file is never written again")
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/perene.db"
        store = Store.open(
            url, clock=ManualClock(), key_file=Path(folder, "none"), master_key=MASTER_KEY
        )
        asyncio.run(fill(store))
        with sqlite3.connect(f"{folder}/perene.db") as connection:
            lines = list(connection.iterdump())
    FOLDER.mkdir(exist_ok=True)
    target.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
