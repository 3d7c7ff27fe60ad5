"""Whether the server agrees on whom a message went to: the hashes of device lists."""

import base64
import hashlib
from collections import OrderedDict
from collections.abc import Iterable

from perene.core.ids import MessageId
from perene.wire.jid import Jid

_REMEMBERED = 1024
"""Messages without an answer, and chats, that are remembered."""


def participant_hash(devices: Iterable[Jid]) -> str:
    """Return the `phash` of a device list: of the sorted addresses in full form, six bytes.

    whatsmeow send.go `participantListHashV2` and types/jid.go `ADString`, 2026-08-21; whatsapp-rust
    wacore/src/messages.rs `participant_list_hash`, 2026-04-30. The server's own word for an empty
    list is in the dictionary of the wire: `2:47DEQpj8`. In a group the sending device counts, too
    (whatsapp-rust PR 678, 2026-06-01, by a stanza of WhatsApp Web).
    """
    full = sorted(f"{jid.user}.0:{jid.device}@{jid.server}" for jid in devices)
    digest = hashlib.sha256("".join(full).encode()).digest()
    return "2:" + base64.b64encode(digest[:6]).decode()


class DeviceHashes:
    """The hashes of the lists that messages went to, until the server has answered these.

    It answers with a hash of its own if it knows of another list (docs/reference/protocol.md §4.2).
    """

    def __init__(self) -> None:
        self._sent: OrderedDict[MessageId, str] = OrderedDict()
        self._disputed: OrderedDict[str, tuple[str, str]] = OrderedDict()
        """By chats: our hash and the server's, when they last differed."""

    def sent(self, message_id: MessageId, ours: str) -> None:
        """A message leaves, for devices of this hash."""
        self._sent[message_id] = ours
        while len(self._sent) > _REMEMBERED:
            self._sent.popitem(last=False)

    def is_outdated(self, message_id: MessageId, chat: str, theirs: str | None) -> bool:
        """Take the server's hash; tell whether the devices of a chat are to be asked for anew.

        Not if that was done, and has changed nothing: the server is not asked for each message.
        """
        ours = self._sent.pop(message_id, None)
        if ours is None or not theirs or theirs == ours:
            return False
        if self._disputed.get(chat) == (ours, theirs):
            return False
        self._disputed[chat] = (ours, theirs)
        while len(self._disputed) > _REMEMBERED:
            self._disputed.popitem(last=False)
        return True
