"""One-time pre-keys: kept in supply on the server, stored here before they are offered."""

import asyncio

import structlog

from perene.core.unit import PreKeyWrite
from perene.crypto import KeyPair
from perene.engine.bundles import (
    key_node,
    next_key_id,
    own_keys,
    own_registration,
    read_bundle,
)
from perene.engine.credentials import Credentials
from perene.engine.draft import Draft
from perene.engine.errors import QueryFailed
from perene.engine.line import Line
from perene.engine.stanza import small_number
from perene.signal.bundle import PreKey
from perene.wire.errors import NodeError
from perene.wire.node import Node

log = structlog.stdlib.get_logger()

REFILL = 50
"""whatsmeow's refill; few enough to be quick, enough for a day."""

LOW_WATER = 5

JUST_S = 600.0
"""For so long after an upload the server is asked before the next one (whatsmeow prekeys.go,
2026-08-21)."""

MENDED_FOR_S = 86_400
"""For so long a difference is only told of once our keys were put in place of other ones: a server
that goes on to show others is not to be given more and more."""

_NONE_THERE = 404

MAX_COUNT = 2**24
"""There are no more ids than that."""


class PreKeys:
    """Keeps the server supplied. One upload at a time per connection.

    `first` keys are the first supply, and the refill of an empty one.
    """

    def __init__(self, line: Line, *, first: int) -> None:
        self._stage = line.stage
        self._answers = line.answers
        self._queries = line.queries
        self._first = first
        self._clock = line.clock
        self._uploading = asyncio.Lock()
        self._uploaded_at: float | None = None

    async def ensure(self) -> None:
        """Ask how many the server has, and refill when they are few.

        Raises QueryFailed, QueryTimedOut.
        """
        async with self._uploading:
            await self._refill_if_few()

    async def refill(self, left: int | None) -> None:
        """Supply more because the server says that `left` are few (None if it does not say).

        What it holds for few is its affair, and more than what we do: WhatsApp Web never looks at
        the number (whatsapp-rust pull request 706, 2026-06-04). Soon after an upload it is asked
        whether that is still so, for several such words may have waited in the queue. Raises
        QueryFailed, QueryTimedOut.
        """
        async with self._uploading:
            if left is None:
                await self._refill_if_few()
            elif self._has_just_uploaded:
                await self._refill_if_few(max(left + 1, LOW_WATER))
            else:
                await self._upload(REFILL if left else self._first)

    async def _refill_if_few(self, less_than: int = LOW_WATER) -> None:
        count = await self._counted()
        if count < less_than:
            await self._upload(REFILL if count else self._first)

    @property
    def _has_just_uploaded(self) -> bool:
        at = self._uploaded_at
        return at is not None and self._clock.monotonic() - at < JUST_S

    async def check(self) -> None:
        """Do as `revalidate`, unless all was uploaded lately; to be done with each login.

        WhatsApp Web, Baileys (src/Socket/socket.ts, 2026-05-21) and zapo
        (src/client/coordinators/WaPassiveTasksCoordinator.ts, 2026-08-19) do so.
        """
        if not self._has_just_uploaded:
            await self.revalidate()

    async def revalidate(self) -> None:
        """See whether the server has our keys, and supply them if it has none, or others.

        With others every message that begins a ratchet would be unreadable, and nothing else would
        end that: WhatsApp Web takes note of a difference only, but makes a new signed pre-key
        every 27 days (whatsapp-rust pull requests 397, 2026-03-20, and 1237, 2026-08-07). zapo
        uploads (src/signal/api/SignalDigestSyncApi.ts, 2026-08-19). Raises QueryFailed,
        QueryTimedOut, StorageError.
        """
        async with self._uploading:
            try:
                answer = await self._queries.ask("encrypt", "get", Node("digest"))
            except QueryFailed as error:
                if error.status != _NONE_THERE:
                    raise
                await self._upload(self._first)
                return
            own = self._stage.credentials
            different = _difference(answer, own)
            if different is None:
                return
            now = int(self._clock.now().timestamp())
            is_mended = (
                own.keys_mended_at is not None and abs(now - own.keys_mended_at) < MENDED_FOR_S
            )
            log.warning("published_keys_differ", what=different, uploaded=not is_mended)
            if not is_mended:
                await self._upload(REFILL, mended_at=now)

    async def _counted(self) -> int:
        answer = await self._queries.ask("encrypt", "get", Node("count"))
        found = answer.child("count")
        value = found.attrs.get("value", "") if found is not None else ""
        count = small_number(value, most=MAX_COUNT)
        if count is None:
            # whatsmeow (prekeys.go, 2026-08-21) does without, too: no login may fail for it.
            raise QueryFailed(0, "no number of pre-keys")
        return count

    async def _upload(self, wanted: int, *, mended_at: int | None = None) -> None:
        keys = await self._stored(wanted)
        own = self._stage.credentials
        offered = Node("list", {}, tuple(key_node(key) for key in keys))
        await self._queries.ask("encrypt", "set", own_registration(own), *own_keys(own, offered))
        self._uploaded_at = self._clock.monotonic()
        async with self._stage.lock:
            draft = Draft(self._stage)
            draft.pre_keys_uploaded.extend(key.id for key in keys)
            if mended_at is not None:
                draft.credentials = self._stage.credentials.changed(keys_mended_at=mended_at)
            committed = draft.submit()
            self._answers.put(committed)
        # The next upload must not find these keys among those that were never offered.
        await asyncio.shield(committed)

    async def _stored(self, wanted: int) -> list[PreKey]:
        """Return `wanted` pre-keys that are committed and were never confirmed by the server.

        An upload whose answer was lost offers the same keys again, never new ones under their ids.
        """
        left = await self._stage.store.pre_keys_not_uploaded(wanted)
        keys = [PreKey(id=k.id, key_pair=KeyPair.from_private(k.private)) for k in left]
        missing = wanted - len(keys)
        if missing <= 0:
            return keys
        async with self._stage.lock:
            draft = Draft(self._stage)
            own = self._stage.credentials
            next_id = own.next_pre_key_id
            for _ in range(missing):
                key = PreKey.generate(next_id)
                keys.append(key)
                draft.pre_keys_added.append(PreKeyWrite(id=key.id, private=key.key_pair.private))
                next_id = next_key_id(next_id)
            draft.credentials = own.changed(next_pre_key_id=next_id)
            committed = draft.submit()
            self._answers.put(committed)
        # Offered only once they cannot be lost: a peer may use a key the moment it is uploaded.
        await asyncio.shield(committed)
        return keys


def _difference(answer: Node, own: Credentials) -> str | None:
    """Tell in what the keys that the server has of us are not ours, None if they are.

    One-time keys are not looked at: no upload takes back those that it has. An answer that cannot
    be read says nothing, as to WhatsApp Web (whatsapp-rust pull request 397, 2026-03-20).
    """
    digest = answer.child("digest")
    if digest is None:
        return None
    try:
        theirs = read_bundle(digest)
    except NodeError:
        return None
    signed = own.signed_pre_key
    if theirs.registration_id != own.registration_id:
        return "registration_id"
    if theirs.identity != own.identity.public:
        return "identity"
    if (theirs.signed_pre_key_id, theirs.signed_pre_key, theirs.signed_pre_key_signature) != (
        signed.id,
        signed.key_pair.public,
        signed.signature,
    ):
        return "signed_pre_key"
    return None
