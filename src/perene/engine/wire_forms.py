"""In which of their two forms of address people are written to: by LID, or by phone number.

A message to a person names its chat, the devices of the person and the sender's own other ones. The
server refuses it with 400 if these are not all in one form (whatsapp-rust pull requests 636,
2026-05-27, and 731, 2026-06-05; Baileys and whatsmeow address the sender's devices as the chat,
too). whatsmeow writes by LID since 2026-07-13 (send.go, "always use LID for DMs"). An account that
was not moved to LIDs is refused that, with 400 as well (whatsapp-rust issue 941, 2026-07-02), and
nothing tells beforehand which it is: so the other form is tried then, and kept with the
credentials, for the connections of a week. Then the LID is tried once more: the account may have
been moved, or the refusal been for something else.

A message to a group is refused with 421 if the members are addressed in another form by now: it is
made ready anew, once, as WhatsApp Web does (zapo src/client/coordinators/
WaMessageDispatchCoordinator.ts, 2026-08-19).
"""

from collections import OrderedDict
from dataclasses import dataclass

import structlog

from perene.core.ids import MessageId
from perene.engine.addresses import AddressBook
from perene.wire.jid import Jid

log = structlog.stdlib.get_logger()

WRONG_FORM = "400"
"""The refusal of a message whose addresses are not in the form that the server wants."""

_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class _Sent:
    by_number: bool
    has_other: bool


class WireForms:
    """The form that one connection uses. A refusal changes it for all that follows.

    `by_number` is what an earlier connection has learned.
    """

    def __init__(self, *, by_number: bool = False) -> None:
        self.is_sure = False
        """Whether the server has taken a message in this form. Until then the next one of a chat
        has to wait: it would overtake one that is refused, and goes out again."""
        self.refusals = 0
        """How many messages were to go out again so far. What was found in the queue before one
        more of them may be behind it."""
        self._by_number = self._stored = by_number
        self._moved_groups: set[str] = set()
        """Groups of which a message was refused, and none was taken since."""
        self._sent: OrderedDict[MessageId, _Sent] = OrderedDict()
        self._refused: OrderedDict[MessageId, None] = OrderedDict()
        """Messages that were refused in one form, and are to be sent in the other."""
        self._lids: OrderedDict[str, str] = OrderedDict()
        """By the numbers of those who were written to: their LIDs."""

    def address(self, book: AddressBook, person: Jid) -> Jid:
        """Return where a message to a person goes. The book must know the person."""
        lid = book.canonical(person.bare)
        return (book.phone_number(lid) or lid) if self._by_number else lid

    def sent(self, message_id: MessageId, to: Jid, book: AddressBook) -> None:
        """A message leaves for an address."""
        other = book.canonical(to) if to.is_pn else book.phone_number(to)
        if other is not None and other != to:
            number, lid = (to, other) if to.is_pn else (other, to)
            self._lids[str(number)] = str(lid)
            _bound(self._lids)
        self._sent[message_id] = _Sent(to.is_pn, other is not None and other != to)
        _bound(self._sent)

    def name_of(self, chat: str) -> str:
        """Return the one name of a chat: a message may be queued under another than the next."""
        return self._lids.get(chat, chat)

    def accepted(self, message_id: MessageId) -> None:
        """The server has taken a message."""
        sent = self._sent.pop(message_id, None)
        # One that left in the other form, before a refusal changed it, says nothing of this one.
        if sent is not None and (sent.by_number is self._by_number or not sent.has_other):
            self.is_sure = True
        self._refused.pop(message_id, None)

    def take_learned(self) -> bool | None:
        """Return the form to store (whether by number), None if it is as it was."""
        if not self.is_sure or self._by_number is self._stored:
            return None
        self._stored = self._by_number
        return self._by_number

    @property
    def is_settled(self) -> bool:
        """Whether no message is refused for its form, as far as is known."""
        return self.is_sure and not self._moved_groups

    def may_be_refused(self, chat: Jid) -> bool:
        """Tell whether a message to a chat may be refused for its form, and go out once more.

        The one behind it has to wait until it is taken.
        """
        return str(chat) in self._moved_groups if chat.is_group else not self.is_sure

    def group_taken(self, group: str) -> None:
        """The server has taken a message to a group as it is addressed now."""
        self._moved_groups.discard(group)

    def group_refused(self, message_id: MessageId, group: str) -> bool:
        """Take a refusal for a group's form; tell whether the message is to be sent once more."""
        if message_id in self._refused:
            del self._refused[message_id]
            return False
        log.warning("group_form_refused")
        self._goes_again(message_id)
        self._moved_groups.add(group)
        return True

    def refused(self, message_id: MessageId) -> bool:
        """Take a refusal for the form; tell whether the message is to be sent in the other one."""
        sent = self._sent.pop(message_id, None)
        if sent is None or not sent.has_other:
            return False
        if sent.by_number is self._by_number:
            self._by_number, self.is_sure = not sent.by_number, False
        if message_id in self._refused:  # in both: it was something else
            del self._refused[message_id]
            return False
        log.warning("address_form_refused", by_number=sent.by_number)
        self._goes_again(message_id)
        return True

    def _goes_again(self, message_id: MessageId) -> None:
        self.refusals += 1
        self._refused[message_id] = None
        _bound(self._refused)


def in_form_of(to: Jid, device: Jid, book: AddressBook) -> Jid:
    """Return a device's address in the form of another address, or as it is if it has none."""
    if not to.is_pn:
        return book.canonical(device)
    return book.phone_number(device) or device


def also_known_as(to: Jid, number: Jid | None) -> dict[str, str]:
    """Return what a message by LID says of the person's number (whatsmeow send.go, 2026-07-13)."""
    return {"peer_recipient_pn": str(number)} if to.is_lid and number is not None else {}


def _bound(
    cache: OrderedDict[MessageId, _Sent] | OrderedDict[MessageId, None] | OrderedDict[str, str],
) -> None:
    while len(cache) > _REMEMBERED:
        cache.popitem(last=False)
