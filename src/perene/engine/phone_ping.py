"""Asking the phone for a sign of life.

A phone that nobody writes to sends its companions nothing, and then cannot be told from one that
is off. But a phone answers a companion's request for an app-state key by itself, without its owner
(mautrix-whatsapp pkg/connector/phoneping.go `sendHackyPhonePing`, 2026-08-21). Its answer, and its
receipt for the request, are sightings like any other (see `phone_watch`); one that is off gets the
request when it is back. The answer comes out of the queue of the session, so it also shows that a
connection still hears (see `listening`).
"""

from collections import OrderedDict
from collections.abc import Callable

import structlog

from perene.core.errors import UnreadableState
from perene.core.ids import MessageId
from perene.core.messages import new_message_id
from perene.engine.bundles import device_identity, fetch_bundles
from perene.engine.content import parse_message
from perene.engine.credentials import Credentials
from perene.engine.draft import Draft
from perene.engine.encrypt import Addressed, seal_enc, without_ratchet
from perene.engine.line import Line
from perene.signal.bundle import PreKeyBundle
from perene.wire.jid import Jid
from perene.wire.node import Node
from perene.wire.proto import wa_pb2

log = structlog.stdlib.get_logger()

KEY_SHARE = "app_state_sync_key_share"
"""The kind under which the phone's keys are stored."""

_SHARES = 8
"""How many stored shares are searched for a key: a phone may have answered with none."""

_REMEMBERED = 64
"""Requests whose ack is awaited: a doubt has five, and the queue may hold many unreadable
messages."""


class PhonePing:
    """Asks the account's phone for a key that this device already has."""

    def __init__(self, line: Line) -> None:
        self._stage = line.stage
        self._answers = line.answers
        self._queries = line.queries
        self._clock = line.clock
        self._asked: OrderedDict[str, Callable[[], object] | None] = OrderedDict()

    async def send(self) -> bool:
        """Ask the phone for a key; False, and raises, as `ask`."""
        return await self.ask(_request(await self._key_id()))

    async def ask(
        self, request: wa_pb2.Message, on_taken: Callable[[], object] | None = None
    ) -> bool:
        """Encrypt a request for the phone, and queue it behind the commit of its ratchet.

        `on_taken` is called once the server has it for the phone; if the connection ends before
        that, it may be lost. False if the phone cannot be encrypted for; it is left alone, which is
        logged. Raises QueryFailed and QueryTimedOut when the server does not give the phone's keys,
        StorageError.
        """
        own = self._stage.credentials
        to = own.own_pn.bare
        await self._stage.book.load([to])
        phone = self._stage.book.canonical(to)
        bundle = await self._missing_bundle(phone)
        async with self._stage.lock:
            draft = Draft(self._stage)
            if bundle is not None and not await without_ratchet(draft, [phone]):
                # Begun while the bundle came, by a message from the phone or to it.
                bundle = None
            recipient = Addressed(device=phone, wire=to, plaintext=request.SerializeToString())
            enc = await seal_enc(draft, recipient, bundle, own, {})
            if enc is None:
                log.warning("phone_ping_impossible", reason="no_usable_keys")
                return False
            message_id = new_message_id(to.user, self._clock.now())
            self._asked[message_id] = on_taken
            while len(self._asked) > _REMEMBERED:
                self._asked.popitem(last=False)
            self._answers.put(draft.submit(), _stanza(message_id, to, enc, own, _push(request)))
        log.info("phone_ping_queued")
        return True

    def answered(self, ack: Node) -> bool:
        """Take the server's ack of a request; False if it is for something else.

        The ack says that the server has the request, not that the phone does. A refusal is logged:
        no message of the user's hangs on it, and the next request comes by itself.
        """
        message_id = ack.attrs.get("id", "")
        if message_id not in self._asked:
            return False
        on_taken = self._asked.pop(message_id)
        if "error" in ack.attrs:
            log.warning("phone_ping_refused", status=ack.attrs["error"][:16])
        elif on_taken is not None:
            on_taken()
        return True

    async def _key_id(self) -> bytes | None:
        """Return the id of the newest app-state key that the phone has shared, None without any."""
        try:
            shares = await self._stage.store.peer_messages(KEY_SHARE, limit=_SHARES)
        except UnreadableState:
            # It is asked for all the same: the question is whether the phone answers.
            log.warning("key_share_unreadable")
            return None
        for share in shares:
            message = parse_message(share.body)
            keys = message.protocolMessage.appStateSyncKeyShare.keys if message is not None else ()
            held = [key for key in keys if key.keyId.keyId and key.keyData.keyData]
            if held:
                return max(held, key=lambda key: key.keyData.timestamp).keyId.keyId
        return None

    async def _missing_bundle(self, phone: Jid) -> PreKeyBundle | None:
        async with self._stage.lock:
            missing = await without_ratchet(Draft(self._stage), [phone])
        return (await fetch_bundles(self._queries, missing)).get(phone)


def is_between_own_devices(node: Node) -> bool:
    """Tell whether a stanza is what an own device says to this one alone, by what it claims.

    It is not believed for its content: that it was delivered is what counts.
    """
    if node.tag == "receipt":
        return node.attrs.get("type") == "peer_msg"
    return node.tag == "message" and node.attrs.get("category") == "peer"


def _request(key_id: bytes | None) -> wa_pb2.Message:
    """Return a request for a key; without an id it asks for none, and is answered all the same."""
    message = wa_pb2.Message()
    content = message.protocolMessage
    content.type = wa_pb2.Message.ProtocolMessage.APP_STATE_SYNC_KEY_REQUEST
    content.appStateSyncKeyRequest.SetInParent()
    if key_id is not None:
        content.appStateSyncKeyRequest.keyIds.add(keyId=key_id)
    return message


def _push(request: wa_pb2.Message) -> str:
    """Return how urgently the phone is to be woken: for what is asked of it, at once.

    As WhatsApp Web does for messages to be sent again (whatsapp-rust pull request 666, 2026-05-30;
    zapo pull request 134, 2026-05-29).
    """
    is_request = request.protocolMessage.HasField("peerDataOperationRequestMessage")
    return "high_force" if is_request else "high"


def _stanza(message_id: MessageId, to: Jid, enc: Node, own: Credentials, push: str) -> Node:
    """Return a peer message (whatsmeow send.go `preparePeerMessageNode`, 2026-08-21)."""
    attrs = {
        "id": message_id,
        "to": str(to),
        "type": "text",
        "category": "peer",
        "push_priority": push,
    }
    children = (Node("meta", {"appdata": "default"}), enc)
    if enc.attrs["type"] == "pkmsg":
        children = (*children, device_identity(own))
    return Node("message", attrs, children)
