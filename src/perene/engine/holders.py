"""Who holds our sender key of each group, as far as one connection knows."""

from collections import OrderedDict

from perene.core.ids import MessageId
from perene.core.unit import HolderChange
from perene.engine.ports import SessionStore


class Holders:
    """The devices that hold our sender keys: as stored, with the uncommitted changes over it."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self.staged: OrderedDict[str, set[str]] = OrderedDict()
        """Of each group that was asked for: addresses of devices, those that are given it too."""
        self._given: dict[MessageId, HolderChange] = {}

    async def of(self, group: str) -> frozenset[str]:
        """Return the addresses of the devices that hold, or are being given, a group's key.

        Hold the stage's lock: what changes while the store is read would be undone by the answer.
        """
        if group not in self.staged:
            self.staged[group] = set(await self._store.sender_key_holders(group))
            for change in self._given.values():
                if change.group == group:
                    self._apply(change)
        return frozenset(self.staged[group])

    def draft(self) -> "HolderDraft":
        """Start collecting the changes of one stanza."""
        return HolderDraft(self)

    def given_with(self, message_id: MessageId) -> HolderChange | None:
        """Return who gets our key with a message that the server has not answered yet."""
        return self._given.get(message_id)

    def take(self, draft: "HolderDraft") -> None:
        """Make the changes of a draft those that the next stanza is processed on."""
        for message_id in draft.settled:
            self._given.pop(message_id, None)
        for change in draft.changes:
            self._apply(change)
            if change.forget_all:  # and what is given of that key is given in vain
                self._given = {m: c for m, c in self._given.items() if c.group != change.group}
        for change in draft.given.values():
            self._apply(change)
        self._given.update(draft.given)

    def _apply(self, change: HolderChange) -> None:
        # A group whose holders were not read yet is read with this change in it, once committed.
        if change.forget_all:
            self.staged[change.group] = set()
        if change.group in self.staged:
            self.staged[change.group] -= set(change.removed)
            self.staged[change.group] |= set(change.added)


class HolderDraft:
    """What one stanza changes. `changes` are to be stored with it; dropping it undoes all."""

    def __init__(self, holders: Holders) -> None:
        self._holders = holders
        self.changes: list[HolderChange] = []
        self.given: dict[MessageId, HolderChange] = {}
        self.settled: list[MessageId] = []

    def change(self, change: HolderChange) -> None:
        """Let this be stored, whatever becomes of any message."""
        self.changes.append(change)

    def give(self, message_id: MessageId, change: HolderChange) -> None:
        """Let devices count as holders, and be stored as such once the server has the message.

        A kill can come between the commit and the wire: then they get the key when the message is
        sent again.
        """
        self.given[message_id] = change

    def answered(self, message_id: MessageId, *, refused: bool) -> None:
        """Take note that the server has a message, or refuses it, and with it the key in it."""
        change = self._holders.given_with(message_id)
        if change is None:
            return
        self.settled.append(message_id)
        taken_back = HolderChange(group=change.group, removed=change.added)
        self.changes.append(taken_back if refused else change)
