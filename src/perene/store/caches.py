"""What the writer remembers between commits: canonical addresses and conversations.

Only the writing thread uses it, and only facts of committed transactions enter it. A session's
entries hold for one epoch: another owner may have merged conversations meanwhile.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from perene.core.ids import Epoch

# Bounds memory to some 20 MB: a thousand busy sessions, each with the chats of a day.
_SESSIONS: Final = 1000
_ENTRIES: Final = 500


class SessionCache:
    """One session's addresses: JID -> canonical JID, and JID -> conversation."""

    __slots__ = ("canonical", "conversations", "epoch")

    def __init__(self, epoch: Epoch) -> None:
        self.epoch = epoch
        self.canonical: dict[str, str] = {}
        self.conversations: dict[str, int] = {}

    def clear(self) -> None:
        """Forget everything."""
        self.canonical.clear()
        self.conversations.clear()

    def learn(self, canonical: Mapping[str, str], conversations: Mapping[str, int]) -> None:
        """Take over what a committed transaction read or wrote."""
        if len(self.canonical) + len(canonical) > _ENTRIES:
            self.canonical.clear()
        if len(self.conversations) + len(conversations) > _ENTRIES:
            self.conversations.clear()
        self.canonical.update(canonical)
        self.conversations.update(conversations)


class Caches:
    """The caches of the sessions written last.

    A transaction takes out what it needs, and its commit brings that back. One that fails brings
    back nothing: it may have been committed all the same, and have moved what a cache knows.
    """

    def __init__(self) -> None:
        self._sessions: OrderedDict[int, SessionCache] = OrderedDict()

    def take(self, session: int, epoch: Epoch) -> SessionCache:
        """Take a session's cache out, empty when it is new or belongs to another epoch."""
        cache = self._sessions.pop(session, None)
        return SessionCache(epoch) if cache is None or cache.epoch != epoch else cache

    def bring_back(self, session: int, cache: SessionCache) -> None:
        """Keep the cache of a session whose transaction was committed."""
        self._sessions[session] = cache
        if len(self._sessions) > _SESSIONS:
            self._sessions.popitem(last=False)
