"""Which phone number is which LID, and the one canonical address of every person."""

from collections import OrderedDict
from collections.abc import Collection, Iterable

from perene.core.unit import AddressPair
from perene.engine.ports import SessionStore
from perene.signal.address import Address
from perene.wire.jid import LID_SERVER, PN_SERVER, Jid, signal_name

_CACHED = 2048
"""People remembered per connection; the rest is read again from the store."""


class AddressBook:
    """The pairs that one connection knows. LID is the canonical form wherever it is known.

    One canonical address per peer is what keeps a peer from having two ratchets
    (docs/reference/protocol.md §4.3; Baileys#1754, #1769, #2331).
    """

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._lid: OrderedDict[str, str | None] = OrderedDict()
        self._pn: OrderedDict[str, str | None] = OrderedDict()

    def learn(self, pairs: Iterable[AddressPair]) -> tuple[AddressPair, ...]:
        """Remember these pairs; return those that were not known to this connection."""
        fresh: list[AddressPair] = []
        for pair in pairs:
            if self._lid.get(pair.pn) != pair.lid:
                fresh.append(pair)
            _put(self._lid, pair.pn, pair.lid)
            _put(self._pn, pair.lid, pair.pn)
        return tuple(fresh)

    async def load(self, jids: Collection[Jid]) -> None:
        """Make sure that what the store knows of these users is at hand for `canonical`."""
        unknown = {
            str(jid.bare)
            for jid in jids
            if (jid.is_pn and str(jid.bare) not in self._lid)
            or (jid.is_lid and str(jid.bare) not in self._pn)
        }
        if not unknown:
            return
        stored = await self._store.address_pairs(unknown)
        self.learn(pair for pair in stored if not self._contradicts(pair))
        for text in unknown:
            if text.endswith(f"@{PN_SERVER}"):
                if text not in self._lid:
                    _put(self._lid, text, None)
            elif text not in self._pn:
                _put(self._pn, text, None)

    def _contradicts(self, pair: AddressPair) -> bool:
        """Tell whether more has been learned of these two than the store knows, or knew when asked.

        What a stanza shows is the last word, also while it is on its way to the store.
        """
        lid, pn = self._lid.get(pair.pn), self._pn.get(pair.lid)
        return lid not in (None, pair.lid) or pn not in (None, pair.pn)

    def canonical(self, jid: Jid) -> Jid:
        """Return the LID form of a phone number JID if it is known, with the same device."""
        if not jid.is_pn:
            return jid
        lid = self._lid.get(str(jid.bare))
        return Jid.parse(lid).with_device(jid.device) if lid else jid

    def phone_number(self, jid: Jid) -> Jid | None:
        """Return the phone number JID of a user, None if it is not known."""
        if jid.is_pn:
            return jid
        pn = self._pn.get(str(jid.bare)) if jid.is_lid else None
        return Jid.parse(pn).with_device(jid.device) if pn else None


def signal_address(jid: Jid) -> Address:
    """Return the Signal address of a device."""
    return Address(signal_name(jid), jid.device)


def is_person(jid: Jid) -> bool:
    """Tell whether this is a user with devices, rather than a group or a channel."""
    return jid.server in (PN_SERVER, LID_SERVER)


def _put(cache: OrderedDict[str, str | None], key: str, value: str | None) -> None:
    cache[key] = value
    cache.move_to_end(key)
    if len(cache) > _CACHED:
        cache.popitem(last=False)
