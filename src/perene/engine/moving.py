"""What is kept under a phone number moves to the LID, as soon as the two are known as one."""

from collections.abc import Iterable

from perene.core.unit import AddressPair
from perene.engine.addresses import signal_address
from perene.engine.draft import Draft
from perene.signal.address import Address
from perene.signal.ratchet import MAX_ARCHIVED, Ratchet
from perene.signal.sender_key import MAX_STATES, SenderKeyRecord
from perene.wire.jid import Jid


async def learn(draft: Draft, pairs: Iterable[AddressPair]) -> None:
    """Take note of address pairs; ratchets and sender keys under the phone number move to the LID.

    The phone number's state wins over one under the LID, because it is the one in use
    (whatsmeow `MigratePNToLID`, 2026-08-21); the other stays to decrypt what is under way.
    """
    for pair in draft.note(pairs):
        old = signal_address(Jid.parse(pair.pn)).name
        new = signal_address(Jid.parse(pair.lid)).name
        await _move_ratchets(draft, old, new)
        await _move_sender_keys(draft, old, new)


async def _move_ratchets(draft: Draft, old_name: str, new_name: str) -> None:
    for old in await draft.ratchets_of(old_name):
        ratchet = await draft.ratchet(old)
        if not ratchet.is_empty:
            new = Address(new_name, old.device)
            draft.set_ratchet(new, _joined(ratchet, await draft.ratchet(new)))
            draft.drop_ratchet(old)


async def _move_sender_keys(draft: Draft, old_name: str, new_name: str) -> None:
    for group, old in await draft.sender_keys_of(old_name):
        record = await draft.sender_key(group, old)
        if not record.is_empty:
            new = Address(new_name, old.device)
            other = await draft.sender_key(group, new)
            states = (*record.states, *other.states)[:MAX_STATES]
            draft.set_sender_key(group, new, SenderKeyRecord(states=states))
            draft.drop_sender_key(group, old)


def _joined(used: Ratchet, other: Ratchet) -> Ratchet:
    """Return a ratchet that sends as `used` does, and decrypts what either could."""
    current = used.current or other.current
    rest = () if used.current is None or other.current is None else (other.current,)
    archived = (*rest, *used.archived, *other.archived)[:MAX_ARCHIVED]
    return Ratchet(current=current, archived=archived)
