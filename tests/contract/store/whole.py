"""A session that has something in every table, and how many rows are in each."""

from dataclasses import replace

from sqlalchemy import Connection, func, select

from perene.core.ids import SessionId
from perene.core.messages import Fate
from perene.core.outages import OutageId
from perene.core.unit import (
    AddressPair,
    HolderChange,
    PeerMessage,
    PreKeyWrite,
    Profile,
    RatchetWrite,
    SenderKeyWrite,
    Unit,
)
from perene.store import schema
from perene.store.store import Store
from tests.contract.store.make_golden import OUTAGE, PRIVACY_TOKEN, STANDING
from tests.support.units import ANA, GROUP, LID, PN, Bytes, entry, key, message, unit

BOB = SessionId("bob")
"""Another than ANA."""


def full(session: SessionId = ANA, epoch: int = 0) -> Unit:
    """Make a unit that writes to every table."""
    one = key()
    return unit(
        session=session,
        epoch=epoch,
        credentials=Bytes(b"credentials"),
        ratchets=(RatchetWrite(address="1.0", state=Bytes(b"r")),),
        sender_keys=(SenderKeyWrite(group=GROUP, address="1.0", state=Bytes(b"s")),),
        holders=(HolderChange(group=GROUP, added=("1.0",)),),
        pre_keys_added=(PreKeyWrite(id=1, private=b"1"),),
        address_pairs=(AddressPair(pn=PN, lid=LID),),
        messages=(message(one),),
        peer_messages=(PeerMessage(id="P", kind="k", body=b"p"),),
        ledger=(entry(one, Fate.DELIVERED),),
        ciphertexts=(b"h" * 32,),
        privacy_tokens=(PRIVACY_TOKEN,),
        profile=Profile(pn=PN, lid=LID, push_name="Ana", platform="android"),
        outage=replace(OUTAGE, id=OutageId(f"outage of {session}"), session=session),
        standing=STANDING,
    )


async def rows(store: Store) -> dict[str, int]:
    """Count the rows of every table."""

    def count(connection: Connection) -> dict[str, int]:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in schema.metadata.sorted_tables
        }

    return await store.database.read(count)
