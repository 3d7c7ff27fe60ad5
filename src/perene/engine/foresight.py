"""Reading ahead: what a batch of messages will need of the store, in a few reads for all of them.

Each read is a change of thread, and a message of somebody new needs four. Made one message at a
time they also keep the batch from filling a transaction: the commits then come one by one, too.
"""

from collections.abc import Iterable, Sequence

from perene.engine.addresses import is_person, signal_address
from perene.engine.stage import Stage
from perene.signal.address import Address
from perene.signal.errors import SignalError
from perene.signal.messages import parse_pre_key_message
from perene.wire.errors import JidError
from perene.wire.jid import Jid
from perene.wire.node import Node

_OTHER_ADDRESS = ("sender_pn", "sender_lid", "participant_pn", "participant_lid")


class Foresight:
    """Lays on the stage what the next messages need. What it misses is read when it is needed."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def look(self, messages: Sequence[Node]) -> None:
        """Read ahead for these `<message>` stanzas; raises StorageError.

        Senders at hand already cost nothing. A stanza that cannot be understood is passed over:
        whoever receives it says what is wrong with it.
        """
        senders: dict[str, Node] = {}
        for node in messages:
            senders.setdefault(_sender(node), node)
        async with self._stage.lock:
            addresses = await self._addresses(senders.values())
            await self._stage.load_ratchets(addresses)
            await self._pre_keys(messages)

    async def _addresses(self, messages: Iterable[Node]) -> list[Address]:
        """Return where the senders' ratchets are, and find out who of them is new."""
        book = self._stage.book
        addresses: list[Address] = []
        unknown: list[Jid] = []
        moving: list[str] = []
        for node in messages:
            jid, other = _jid(_sender(node)), _jid(_other_address(node))
            if jid is None:
                continue
            number, lid = (jid, other) if jid.is_pn else (other, jid)
            if number is None or lid is None or not (number.is_pn and lid.is_lid):
                unknown.append(jid)
            elif book.phone_number(lid.bare) != number.bare:
                moving.append(signal_address(number.bare).name)
                addresses.append(signal_address(lid.with_device(jid.device)))
            else:
                addresses.append(signal_address(lid.with_device(jid.device)))
        await book.load(unknown)
        await self._stage.look_for_strangers(moving)
        return addresses + [signal_address(book.canonical(jid)) for jid in unknown]

    async def _pre_keys(self, messages: Iterable[Node]) -> None:
        ids: list[int] = []
        for node in messages:
            for enc in node.children:
                if enc.tag == "enc" and enc.attrs.get("type") == "pkmsg":
                    try:
                        key_id = parse_pre_key_message(enc.data).pre_key_id
                    except SignalError:
                        continue
                    if key_id is not None:
                        ids.append(key_id)
        await self._stage.load_pre_keys(ids)


def _sender(node: Node) -> str:
    return node.attrs.get("participant") or node.attrs.get("from", "")


def _other_address(node: Node) -> str:
    return next((node.attrs[name] for name in _OTHER_ADDRESS if name in node.attrs), "")


def _jid(text: str) -> Jid | None:
    try:
        jid = Jid.parse(text)
    except JidError:
        return None
    return jid if is_person(jid) and jid.user else None
