"""Privacy tokens on the wire: kept when people give them, shown when we write, given in turn.

A message to a person without the token that the person gave us may be refused with 463, however
old the chat is (Baileys src/Socket/messages-send.ts and messages-recv.ts; whatsmeow tctoken.go,
send.go and notification.go; all 2026-08-21). Never shown in groups, to oneself, nor between own
devices, where the server answers it with 479.
"""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import structlog

from perene.core.privacy_tokens import PrivacyToken, TokenLife
from perene.engine.draft import Draft
from perene.engine.errors import QueryFailed, QueryTimedOut
from perene.engine.line import Line
from perene.engine.server_props import ServerProps
from perene.engine.stanza import small_number
from perene.wire.jid import Jid
from perene.wire.node import Node

log = structlog.stdlib.get_logger()

_KIND: Final = "trusted_contact"
_REMEMBERED: Final = 1000
"""People whose tokens a connection keeps at hand; of others the store is asked."""

_BUCKET_PROP: Final = 865
_BUCKETS_PROP: Final = 909
"""Names of what the server sets for a token's life (whatsapp-rust wacore/src/iq/abprops.rs,
2026-08-21)."""

_LONGEST: Final = 512
_LATEST: Final = 2**33


class PrivacyTokens:
    """The tokens between one account and the people it writes to, for one connection."""

    def __init__(self, line: Line) -> None:
        self._stage = line.stage
        self._answers = line.answers
        self._queries = line.queries
        self._clock = line.clock
        self._later = line.later
        self._props = ServerProps(line.queries, line.clock)
        self._known: OrderedDict[str, PrivacyToken] = OrderedDict()
        self._giving: set[str] = set()

    async def notice(self, node: Node) -> None:
        """Take a `<notification type="privacy_token">`: somebody gave us a token."""
        sender = Jid.parse(node.attr("from")).bare
        if "sender_lid" in node.attrs:
            sender = Jid.parse(node.attrs["sender_lid"]).bare
        await self._keep(sender, _tokens(node))

    async def shown_to(self, chat: Jid) -> tuple[Node, ...]:
        """Return the node that a message to a chat carries, if any.

        The address book must know the chat. The server is asked how long tokens are good if that
        one is old.
        """
        if not self._concerns(chat):
            return ()
        known, now = await self._of(chat), self._clock.now()
        token = known.usable(now)
        if token is None and known.token:
            token = known.usable(now, await self._life())
        return () if token is None else (Node("tctoken", {}, token),)

    async def _life(self) -> TokenLife:
        told = await self._props.numbers()
        return TokenLife.told(told.get(_BUCKET_PROP), told.get(_BUCKETS_PROP))

    async def wrote_to(self, chat: Jid) -> None:
        """A message goes to a chat: give ours, too, if it is due."""
        if self._concerns(chat) and (await self._of(chat)).is_due(self._clock.now()):
            self._give_later(chat)

    async def renew(self, person: Jid) -> None:
        """A person has new identity keys: what we gave is given again, if it would still hold."""
        if self._concerns(person) and (await self._of(person)).is_held(self._clock.now()):
            self._give_later(person)

    def _concerns(self, chat: Jid) -> bool:
        people = chat.is_pn or chat.is_lid or chat.is_hosted
        # "0" is WhatsApp itself.
        return people and chat.user != "0" and not self._stage.credentials.is_own(chat)

    async def _of(self, chat: Jid) -> PrivacyToken:
        person = self._name(chat)
        if (known := self._known.get(person)) is None:
            # It may have been stored before the person's LID was known.
            number = self._stage.book.phone_number(chat.bare)
            names = {person} | ({str(number)} if number is not None else set[str]())
            known = PrivacyToken(person=person)
            for stored in await self._stage.store.privacy_tokens(names):
                known = known.changed(stored)
            for name in names:
                # What came while the store was asked, or is not committed yet, it has not told.
                if (newer := self._known.get(name)) is not None:
                    known = known.changed(newer)
            self._remember(known)
        return known

    def _name(self, person: Jid) -> str:
        return str(self._stage.book.canonical(person.bare))

    def _remember(self, known: PrivacyToken) -> None:
        self._known[known.person] = known
        self._known.move_to_end(known.person)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def _give_later(self, person: Jid) -> None:
        name = self._name(person)
        if name not in self._giving and self._later(lambda: self._give(person, name)):
            self._giving.add(name)

    async def _give(self, person: Jid, name: str) -> None:
        """Give ours to a person; without an answer it is given with the next message."""
        now = self._clock.now()
        address = self._stage.book.phone_number(person.bare) or person.bare
        attrs = {"jid": str(address), "t": str(int(now.timestamp())), "type": _KIND}
        question = Node("tokens", {}, (Node("token", attrs),))
        try:
            answer = await self._queries.ask("privacy", "set", question)
        except (QueryFailed, QueryTimedOut) as error:
            log.info("privacy_token_not_given", reason=str(error))
            return
        finally:
            self._giving.discard(name)
        given = PrivacyToken(person=name, sent_at=now)
        await self._keep(Jid.parse(name), [given, *_tokens(answer)])

    async def _keep(self, person: Jid, changes: Sequence[PrivacyToken]) -> None:
        if not changes or not self._concerns(person):
            return
        await self._stage.book.load([person])
        known = await self._of(person)
        for change in changes:
            known = known.changed(change)
        self._remember(known)
        async with self._stage.lock:
            draft = Draft(self._stage)
            draft.privacy_tokens.append(known)
            self._answers.put(draft.submit())


def _tokens(node: Node) -> list[PrivacyToken]:
    """Return the usable tokens of a notification or an answer; whose they are is not in them.

    A token's own `jid` is ours, not the giver's.
    """
    tokens = node.child("tokens")
    found: list[PrivacyToken] = []
    for child in tokens.children if tokens is not None else ():
        seconds = small_number(child.attrs.get("t", ""), most=_LATEST)
        token = child.content
        if child.attrs.get("type") != _KIND or not seconds or not isinstance(token, bytes):
            continue
        if 0 < len(token) <= _LONGEST:
            at = datetime.fromtimestamp(seconds, UTC)
            found.append(PrivacyToken(person="", token=token, given_at=at))
    return found
