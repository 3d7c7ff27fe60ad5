"""A question to our own phone, whose answer shows that this connection still hears.

Asked is for a key of the app state that nobody has: the one request of this kind that every client
sends, and that changes nothing. The phone confirms it by a `peer_msg` receipt, and answers with a
share that lacks the key; both come out of the queue of our session (facts/protocol.md §4.1;
whatsmeow appstate.go `requestAppStateKeys` and send.go `preparePeerMessageNode`, whatsapp-rust
message/special.rs `build_app_state_sync_key_share`, 2026-08-21).
"""

import secrets

import structlog

from perene.engine.answers import Answers
from perene.engine.devices import fetch_bundles
from perene.engine.encrypt import Addressed, seal_enc, without_ratchet
from perene.engine.errors import QueryFailed, QueryTimedOut
from perene.engine.queries import Queries
from perene.engine.send import device_identity
from perene.engine.stage import Stage
from perene.signal.bundle import PreKeyBundle
from perene.wire.errors import WireError
from perene.wire.jid import Jid
from perene.wire.node import Node
from perene.wire.proto import wa_pb2

log = structlog.stdlib.get_logger()

_NO_KEY = bytes(6)
"""Device 0, epoch 0: the epochs of real keys begin later (facts/protocol.md §6.2)."""


class PhoneQuestion:
    """Asks the phone of one session."""

    def __init__(self, *, stage: Stage, answers: Answers, queries: Queries) -> None:
        self._stage = stage
        self._answers = answers
        self._queries = queries

    async def ask(self) -> bool:
        """Send the question behind the commit of its ratchet; false if nothing can be sent to it.

        The answer shows by itself among the stanzas that come (`is_of_the_phone`).
        """
        own = self._stage.credentials
        if not own.paired:
            return False
        to = own.own_pn.bare
        await self._stage.book.load([to])
        phone = self._stage.book.canonical(to)
        try:
            bundle = await self._bundle(phone)
        except (QueryFailed, QueryTimedOut, WireError) as error:
            log.info("phone_not_asked", reason=str(error))
            return False
        async with self._stage.lock:
            draft = self._stage.draft()
            recipient = Addressed(device=phone, wire=to, plaintext=_question())
            enc = await seal_enc(draft, recipient, bundle, own, {})
            if enc is None:
                return False
            children: tuple[Node, ...] = (Node("meta", {"appdata": "default"}), enc)
            if enc.attrs["type"] == "pkmsg":
                children = (*children, device_identity(own))
            attrs = {
                "id": f"3EB0{secrets.token_hex(9).upper()}",
                "type": "text",
                "category": "peer",
                "to": str(to),
                "push_priority": "high",
            }
            self._answers.put(draft.submit(), Node("message", attrs, children))
        return True

    async def _bundle(self, phone: Jid) -> PreKeyBundle | None:
        async with self._stage.lock:
            missing = await without_ratchet(self._stage.draft(), [phone])
        return (await fetch_bundles(self._queries, missing)).get(phone)


def is_of_the_phone(node: Node) -> bool:
    """Tell whether a stanza is of our phone to this device alone; one that only says it is of ours.

    A message that bears another's name and this category is not believed for its content; that it
    was delivered is all that counts here.
    """
    if node.tag == "receipt":
        return node.attrs.get("type") == "peer_msg"
    return node.tag == "message" and node.attrs.get("category") == "peer"


def _question() -> bytes:
    message = wa_pb2.Message()
    asked = message.protocolMessage
    asked.type = wa_pb2.Message.ProtocolMessage.APP_STATE_SYNC_KEY_REQUEST
    asked.appStateSyncKeyRequest.keyIds.add().keyId = _NO_KEY
    return message.SerializeToString()
