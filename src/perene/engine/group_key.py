"""Our sender key of a group: with it a message is encrypted once for all who have been given it."""

from perene.core.unit import HolderChange
from perene.engine.addresses import signal_address
from perene.engine.credentials import Credentials
from perene.engine.draft import Draft
from perene.signal.sender_key import SenderKeyRecord, create_sender_key, distribution_message
from perene.wire.proto import wa_pb2


async def own_key(draft: Draft, group: str, own: Credentials) -> SenderKeyRecord:
    """Return our key of a group, a fresh one if there is none; it is not staged by this."""
    record = await draft.sender_key(group, signal_address(own.own_device))
    return create_sender_key(record) if record.is_empty else record


def set_own_key(draft: Draft, group: str, own: Credentials, record: SenderKeyRecord) -> None:
    """Stage our key of a group."""
    draft.set_sender_key(group, signal_address(own.own_device), record)


def key_message(group: str, record: SenderKeyRecord) -> bytes:
    """Return a message that gives our key of a group, and nothing else."""
    message = wa_pb2.Message()
    attach(message, group, record)
    return message.SerializeToString()


def attach(message: wa_pb2.Message, group: str, record: SenderKeyRecord) -> None:
    """Let a message give its reader our key of a group."""
    given = message.senderKeyDistributionMessage
    given.groupId = group
    given.axolotlSenderKeyDistributionMessage = distribution_message(record)


def give_up(draft: Draft, group: str, own: Credentials) -> None:
    """Stage that the next message to a group is under a new key, which nobody has yet."""
    set_own_key(draft, group, own, SenderKeyRecord.empty)
    draft.holders.change(HolderChange(group=group, forget_all=True))
