"""Who and where, for one transaction: canonical addresses and the conversations of a batch."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from perene.core.messages import MessageKey
from perene.store.addresses import bare, lids_of, needs_lookup
from perene.store.batch import Entry, Owned
from perene.store.caches import Caches, SessionCache
from perene.store.conversations import create_conversations, find_conversations
from perene.store.database import after_commit
from perene.store.merging import Pair, contradict_each_other, learn_pairs
from perene.store.places import Place
from perene.store.texts import indexable


class Directory:
    """Resolves the addresses of a batch with a few queries, most of them answered by the caches.

    What it reads and writes reaches the caches only when the transaction has committed.
    """

    def __init__(self, connection: Connection, caches: Caches, now: int) -> None:
        self._connection = connection
        self._caches = caches
        self._now = now
        self._views: dict[int, _View] = {}
        after_commit(connection, self._publish)

    def learn(self, entries: Sequence[Entry]) -> None:
        """Store the address pairs of a batch, and merge what turns out to be one person's.

        All of them before any message of the batch is filed: a message whose pair comes later in
        the batch is filed where a merge would have moved it, and a second copy of it under the
        other address is found out before its event is told.
        """
        fresh: dict[Pair, None] = {}
        changed: set[Place] = set()
        for entry in entries:
            session, view = entry.session.key, self._view(entry.session)
            for pn, lid in _pairs(entry):
                both = {(session, pn), (session, lid)}
                # What was known is news again behind a pair that contradicts it.
                if view.known_canonical(pn) != lid or not changed.isdisjoint(both):
                    # Of contradicting pairs the last one counts, so it must stay the last.
                    fresh.pop((session, pn, lid), None)
                    fresh[session, pn, lid] = None
                    changed |= both
        if fresh:
            self._learn(list(fresh))

    def _learn(self, pairs: list[Pair]) -> None:
        if contradict_each_other(pairs):
            learn_pairs(self._connection, pairs)
            for session, _pn, _lid in pairs:
                self._views[session].start_over()
            return
        known = lids_of(self._connection, [(session, pn) for session, pn, _lid in pairs])
        new = [pair for pair in pairs if known.get(pair[:2]) != pair[2]]
        learn_pairs(self._connection, new)
        for session, _pn, _lid in new:
            self._views[session].start_over()
        for session, pn, lid in pairs:
            self._views[session].canonical[pn] = lid

    def resolve(self, entries: Sequence[Entry]) -> None:
        """Look up every address that the messages and ledger entries of a batch name."""
        self._resolve_canonical(
            (entry.session, jid)
            for entry in entries
            for key in _keys(entry)
            for jid in (indexable(key.chat), indexable(key.sender))
        )
        # A dict, not a set: conversations are numbered in the order of their first messages.
        wanted = {
            (entry.session.key, self.canonical(entry.session, message.key.chat)): None
            for entry in entries
            for message in entry.unit.messages
        }
        self._resolve_conversations(wanted)

    def canonical(self, session: Owned, jid: str) -> str:
        """Return the canonical form of an address that was resolved."""
        jid = indexable(jid)
        return self._views[session.key].known_canonical(jid) or jid

    def conversation(self, session: Owned, chat: str) -> int:
        """Return the conversation of a chat that was resolved."""
        found = self._views[session.key].known_conversation(self.canonical(session, chat))
        if found is None:
            raise LookupError("a chat was not resolved before its conversation was asked for")
        return found

    def _resolve_canonical(self, jids: Iterable[tuple[Owned, str]]) -> None:
        missing = {
            (session.key, jid)
            for session, jid in jids
            if needs_lookup(jid) and self._view(session).known_canonical(jid) is None
        }
        if not missing:
            return
        lids = lids_of(self._connection, missing)
        for place in missing:
            self._views[place[0]].canonical[place[1]] = lids.get(place, place[1])

    def _resolve_conversations(self, places: Iterable[Place]) -> None:
        missing = [
            place for place in places if self._views[place[0]].known_conversation(place[1]) is None
        ]
        if not missing:
            return
        found = find_conversations(self._connection, missing)
        absent = [place for place in missing if place not in found]
        if absent:
            found |= create_conversations(self._connection, absent, self._now)
        for (session, chat), conversation in found.items():
            self._views[session].conversations[chat] = conversation

    def _view(self, session: Owned) -> "_View":
        view = self._views.get(session.key)
        if view is None:
            cache = self._caches.take(session.key, session.epoch)
            view = self._views[session.key] = _View(cache)
        return view

    def _publish(self) -> None:
        for session, view in self._views.items():
            self._caches.bring_back(session, view.publish())


class _View:
    """One session's cache as this transaction sees it: what it learnt itself comes first."""

    __slots__ = ("_cache", "_started_over", "canonical", "conversations")

    def __init__(self, cache: SessionCache) -> None:
        self._cache = cache
        self._started_over = False
        self.canonical: dict[str, str] = {}
        self.conversations: dict[str, int] = {}

    def start_over(self) -> None:
        """Distrust the cache: this transaction changes what it rests on."""
        if not self._started_over:
            self._started_over = True
            self.canonical.clear()
            self.conversations.clear()

    def known_canonical(self, jid: str) -> str | None:
        found = self.canonical.get(jid)
        return self._cache.canonical.get(jid) if found is None and not self._started_over else found

    def known_conversation(self, chat: str) -> int | None:
        found = self.conversations.get(chat)
        if found is None and not self._started_over:
            return self._cache.conversations.get(chat)
        return found

    def publish(self) -> SessionCache:
        """Return the cache with what this transaction, now committed, read and wrote."""
        if self._started_over:
            self._cache.clear()
        self._cache.learn(self.canonical, self.conversations)
        return self._cache


def _pairs(entry: Entry) -> list[tuple[str, str]]:
    unit = entry.unit
    pairs = [(indexable(bare(pair.pn)), indexable(bare(pair.lid))) for pair in unit.address_pairs]
    if unit.profile is not None and unit.profile.pn and unit.profile.lid:
        # A session's own two addresses are a pair like any other.
        pairs.append((bare(unit.profile.pn), bare(unit.profile.lid)))
    return pairs


def _keys(entry: Entry) -> Iterable[MessageKey]:
    for message in entry.unit.messages:
        yield message.key
    for line in entry.unit.ledger:
        yield line.key
