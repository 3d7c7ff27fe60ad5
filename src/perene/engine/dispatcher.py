"""Every stanza to whom it concerns."""

import asyncio
from collections.abc import Collection, Sequence

import structlog

from perene.engine.answers import UNKNOWN_STANZA, acknowledge
from perene.engine.foresight import Foresight
from perene.engine.incoming import digests_of
from perene.engine.line import Line
from perene.engine.linking import Linking
from perene.engine.listening import Listening
from perene.engine.login import Login
from perene.engine.notifications import Notifications
from perene.engine.offline import OfflineDelivery
from perene.engine.phone_ping import PhonePing
from perene.engine.phone_watch import PhoneWatch
from perene.engine.receipts import OwnMessages
from perene.engine.receive import Receiver
from perene.engine.retry_answers import RetryAnswers
from perene.engine.stanza import MESSAGES
from perene.engine.welcome import Welcome
from perene.wire.node import Node

log = structlog.stdlib.get_logger()

_UNANSWERED = frozenset({"ack", "chatstate", "error", "presence"}) | MESSAGES
"""Tags that ask for no answer (docs/reference/protocol.md §5.1); messages have none before the
pairing."""


_AT_ONCE = 32
"""Stanzas that are processed before other sessions have their turn: some 10 ms. With 8 of them a
message would take a quarter more processor time, for fewer of them share a commit; with a batch of
200, everybody else would wait for a part of a second at each step."""


class Dispatcher:
    """Hands stanzas on in the order of their arrival, one at a time.

    Each is processed when its unit is handed over; nobody waits here for a commit, nor for the
    server: what must ask it is given to the line's `later`.
    """

    def __init__(
        self,
        line: Line,
        *,
        welcome: Welcome,
        login: Login,
        linking: Linking,
        offline: OfflineDelivery,
        receiver: Receiver,
        retry_answers: RetryAnswers,
        own_messages: OwnMessages,
        notifications: Notifications,
        phone_watch: PhoneWatch,
        phone_ping: PhonePing,
        listening: Listening,
    ) -> None:
        self._stage = line.stage
        self._answers = line.answers
        self._later = line.later
        self._foresight = Foresight(line.stage)
        self._welcome = welcome
        self._login = login
        self._linking = linking
        self._offline = offline
        self._receiver = receiver
        self._retry_answers = retry_answers
        self._own_messages = own_messages
        self._notifications = notifications
        self._phone_watch = phone_watch
        self._phone_ping = phone_ping
        self._listening = listening

    async def dispatch(self, nodes: Sequence[Node]) -> None:
        """Process a batch; raises ConnectionEnded, StorageError."""
        known = await self._look_ahead([node for node in nodes if node.tag in MESSAGES])
        for number, node in enumerate(nodes, 1):
            self._offline.arrived(node)
            await self._dispatch(node, known)
            self._phone_watch.took(node)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        self._listening.took(nodes)

    async def _look_ahead(self, messages: Sequence[Node]) -> Collection[bytes]:
        """Return which of the messages' ciphertexts are committed; lay the rest's needs ready."""
        digests = [digest for node in messages for digest in digests_of(node)]
        if not digests:
            return frozenset()
        known = await self._stage.store.known_ciphertexts(digests)
        await self._foresight.look(messages)
        return known

    async def _dispatch(self, node: Node, known: Collection[bytes]) -> None:
        match node.tag:
            case tag if tag in MESSAGES and self._stage.credentials.paired:
                await self._receiver.receive(node, known)
            case "receipt" if node.attrs.get("type") == "retry":
                self._later(lambda: self._retry_answers.answer(node))
            case "receipt":
                await self._own_messages.receipt(node)
            case "ack" if node.attrs.get("class") == "message":
                if not self._phone_ping.answered(node):
                    await self._own_messages.acknowledged(node)
            case "notification":
                await self._notifications.take(node)
            case "call" if _is_addressed(node):
                self._answers.put(None, acknowledge(node))
            case "iq":
                await self._dispatch_iq(node)
            case "ib":
                await self._dispatch_ib(node)
            case "success":
                await self._login.succeeded(node)
            case tag if tag not in _UNANSWERED and _is_addressed(node):
                # Without an answer it is delivered again for ever, and the server ends the stream
                # for it (whatsapp-rust src/client/node_io.rs, 2026-08-21).
                log.warning("stanza_not_known", tag=tag[:32])
                self._answers.put(None, acknowledge(node, error=UNKNOWN_STANZA))
            case _:
                pass

    async def _dispatch_iq(self, node: Node) -> None:
        if node.child("pair-device") is not None:
            self._welcome.greeted()
            self._linking.by_qr.offer(node)
        elif node.child("pair-success") is not None:
            stored = await self._linking.complete(node)
            # Only then it is confirmed, and the server has something to restart the stream for.
            stored.add_done_callback(lambda _: self._welcome.linked())
        elif _is_ping(node):
            # The server drops a connection that does not answer (docs/reference/protocol.md §1.7).
            reply = {"type": "result", "to": node.attrs.get("from", "s.whatsapp.net")}
            if "id" in node.attrs:
                reply["id"] = node.attrs["id"]
            self._answers.put(None, Node("iq", reply))

    async def _dispatch_ib(self, node: Node) -> None:
        for child in node.children:
            match child.tag:
                case "offline_preview":
                    self._offline.previewed(child)
                case "offline":
                    self._offline.ended()
                case "edge_routing":
                    await self._login.routed(child)
                case "downgrade_webclient" if not self._stage.credentials.paired:
                    self._linking.phone_links_none()
                case "client_expiration":
                    self._login.expiring(child)
                case "dirty" if self._stage.credentials.paired:
                    await self._notifications.dirtied(child)
                case _:
                    pass


def _is_addressed(node: Node) -> bool:
    """Tell whether there is something to answer to. Some words about a call come without an id
    (whatsapp-rust ff1f425, 2026-06-25), and it answers none of those (src/client/node_io.rs)."""
    return {"id", "from"} <= node.attrs.keys()


def _is_ping(node: Node) -> bool:
    """Tell whether the server asks for a sign of life; a late answer to our own does not."""
    if node.attrs.get("type", "get") != "get":
        return False
    return node.child("ping") is not None or node.attrs.get("xmlns") == "urn:xmpp:ping"
