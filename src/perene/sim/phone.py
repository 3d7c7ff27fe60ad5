"""What a phone does for its companions: shares keys, sends history, resends what they miss."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from perene.sim.model import Account, Device
from perene.sim.party import Party
from perene.sim.reading import Read
from perene.sim.world import World
from perene.wire.proto import wa_pb2

if TYPE_CHECKING:
    HistoryKind = wa_pb2.Message.HistorySyncType.ValueType

ProtocolMessage = wa_pb2.Message.ProtocolMessage
_HISTORY = wa_pb2.Message.HistorySyncType
_REQUEST = wa_pb2.Message.PeerDataOperationRequestType
_KEY_EPOCH = 1
APP_STATE_KEY_ID = (0).to_bytes(2) + _KEY_EPOCH.to_bytes(4)


@dataclass(slots=True, kw_only=True)
class PastMessage:
    """A message from before a companion was linked: part of the history it gets."""

    chat: Account
    id: str
    text: str
    time: int
    from_me: bool = False


@dataclass(slots=True, kw_only=True)
class Past:
    """What a phone remembers from before."""

    messages: list[PastMessage] = field(default_factory=list[PastMessage])


class Phone:
    """The phone of an account, as its companions see it."""

    def __init__(self, party: Party, *, world: World) -> None:
        self._party = party
        self._world = world
        self.past = Past()
        self.resends = True
        """Whether it answers requests to resend a message that a companion could not read."""
        self.app_state_key = bytes(32)
        party.reader.on_peer_message = self._receive

    # --- after pairing ----------------------------------------------------------------------------

    def sync(self, companion: Device) -> None:
        """Send a new companion its app-state key and history.

        docs/reference/protocol.md §3.4, §7.3 item 10.
        """
        self.share_key(companion)
        newest = [self._said_in(chat)[:1] for chat in self._chats()]
        older = [message for chat in self._chats() for message in self._said_in(chat)[1:]]
        bootstrap = self._history([one for found in newest for one in found])
        for chat in self._chats():
            bootstrap.phoneNumberToLidMappings.add(
                pnJid=str(chat.jid("pn")), lidJid=str(chat.jid("lid"))
            )
        self._send_history(companion, _HISTORY.INITIAL_BOOTSTRAP, bootstrap)
        self._send_history(companion, _HISTORY.PUSH_NAME, self._push_names())
        size = self._world.settings.history_chunk
        chunks = [older[at : at + size] for at in range(0, len(older), size)] or [[]]
        for number, chunk in enumerate(chunks, start=1):
            self._send_history(
                companion,
                _HISTORY.RECENT,
                self._history(chunk),
                order=number,
                progress=100 * number // len(chunks),
            )

    def share_key(self, companion: Device, asked: Iterable[bytes] = (APP_STATE_KEY_ID,)) -> None:
        """Send those of the asked app-state keys that there are: the only one, or none."""
        share = wa_pb2.Message.AppStateSyncKeyShare()
        if APP_STATE_KEY_ID in asked:
            self._add_key(share.keys.add())
        self._party.sender.send_to_companion(
            companion,
            ProtocolMessage(
                type=ProtocolMessage.APP_STATE_SYNC_KEY_SHARE, appStateSyncKeyShare=share
            ),
        )

    def _add_key(self, key: wa_pb2.Message.AppStateSyncKey) -> None:
        key.keyId.keyId = APP_STATE_KEY_ID
        key.keyData.keyData = self.app_state_key
        key.keyData.timestamp = int(self._world.now().timestamp())
        key.keyData.fingerprint.rawId = self._party.desk.device.account.raw_id
        key.keyData.fingerprint.currentIndex = _KEY_EPOCH
        key.keyData.fingerprint.deviceIndexes.append(0)

    def _send_history(
        self,
        companion: Device,
        kind: "HistoryKind",
        history: wa_pb2.HistorySync,
        *,
        order: int = 1,
        progress: int = 0,
        request: str = "",
    ) -> None:
        history.syncType = wa_pb2.HistorySync.HistorySyncType.Value(_HISTORY.Name(kind))
        history.chunkOrder, history.progress = order, progress
        notification = wa_pb2.Message.HistorySyncNotification(
            syncType=kind,
            chunkOrder=order,
            progress=progress,
            initialHistBootstrapInlinePayload=zlib.compress(history.SerializeToString()),
        )
        if request:
            notification.peerDataRequestSessionId = request
        self._party.sender.send_to_companion(
            companion,
            ProtocolMessage(
                type=ProtocolMessage.HISTORY_SYNC_NOTIFICATION,
                historySyncNotification=notification,
            ),
        )

    def _chats(self) -> list[Account]:
        return list(dict.fromkeys(message.chat for message in self.past.messages))

    def _said_in(self, chat: Account) -> list[PastMessage]:
        """Return the messages of a chat, newest first."""
        said = [message for message in self.past.messages if message.chat is chat]
        return sorted(said, key=lambda message: -message.time)

    def _history(self, messages: list[PastMessage]) -> wa_pb2.HistorySync:
        """Return messages by chat; each chat says whether there are more on the phone."""
        history = wa_pb2.HistorySync()
        for chat in dict.fromkeys(message.chat for message in messages):
            said = [message for message in messages if message.chat is chat]
            complete = said[-1] is self._said_in(chat)[-1]
            conversation = history.conversations.add(
                id=str(chat.jid()), name=chat.name, endOfHistoryTransfer=complete
            )
            for number, message in enumerate(said):
                info = conversation.messages.add(msgOrderId=len(said) - number).message
                info.key.remoteJid = str(chat.jid())
                info.key.fromMe = message.from_me
                info.key.id = message.id
                info.message.conversation = message.text
                info.messageTimestamp = message.time
        return history

    def _push_names(self) -> wa_pb2.HistorySync:
        history = wa_pb2.HistorySync()
        for account in self._world.directory:
            if account.name:
                history.pushnames.add(id=str(account.jid("pn")), pushname=account.name)
        return history

    # --- requests ---------------------------------------------------------------------------------

    def _receive(self, companion: Device, content: ProtocolMessage, message_id: str) -> None:
        if content.type == ProtocolMessage.APP_STATE_SYNC_KEY_REQUEST:
            self._party.desk.counts["phone_key_requests"] += 1
            asked = content.appStateSyncKeyRequest.keyIds
            self.share_key(companion, [key.keyId for key in asked])
        elif content.type == ProtocolMessage.PEER_DATA_OPERATION_REQUEST_MESSAGE:
            self._party.desk.counts["phone_requests"] += 1
            request = content.peerDataOperationRequestMessage
            if not self.resends:
                return
            if request.peerDataOperationRequestType == _REQUEST.PLACEHOLDER_MESSAGE_RESEND:
                self._resend(companion, request, message_id)
            elif request.peerDataOperationRequestType == _REQUEST.HISTORY_SYNC_ON_DEMAND:
                self._send_older(companion, request.historySyncOnDemandRequest, message_id)

    def _send_older(
        self,
        companion: Device,
        request: wa_pb2.Message.PeerDataOperationRequestMessage.HistorySyncOnDemandRequest,
        message_id: str,
    ) -> None:
        """Send the messages of a chat just before a given one (docs/reference/protocol.md §6.1)."""
        chat = self._world.directory.find_text(request.chatJid)
        said = self._said_in(chat) if chat is not None else []
        ids = [message.id for message in said]
        start = ids.index(request.oldestMsgId) + 1 if request.oldestMsgId in ids else len(said)
        older = said[start : start + request.onDemandMsgCount]
        self._party.desk.counts["phone_history_requests"] += 1
        self._send_history(
            companion,
            _HISTORY.ON_DEMAND,
            self._history(older),
            progress=100,
            request=message_id,
        )

    def _resend(
        self,
        companion: Device,
        request: wa_pb2.Message.PeerDataOperationRequestMessage,
        message_id: str,
    ) -> None:
        """Answer a placeholder resend from what the phone itself has read.

        docs/reference/protocol.md §4.5.
        """
        response = wa_pb2.Message.PeerDataOperationRequestResponseMessage(
            peerDataOperationRequestType=_REQUEST.PLACEHOLDER_MESSAGE_RESEND, stanzaId=message_id
        )
        for wanted in request.placeholderMessageResendRequest:
            read = next(
                (read for read in self._party.reader.inbox if read.id == wanted.messageKey.id), None
            )
            if read is not None:
                info = self._web_message(read, wanted.messageKey)
                result = response.peerDataOperationResult.add()
                answer = result.placeholderMessageResendResponse
                answer.webMessageInfoBytes = info.SerializeToString()
        if not response.peerDataOperationResult:
            self._party.desk.counts["phone_has_not"] += 1
            return
        self._party.desk.counts["phone_resends"] += 1
        self._party.sender.send_to_companion(
            companion,
            ProtocolMessage(
                type=ProtocolMessage.PEER_DATA_OPERATION_REQUEST_RESPONSE_MESSAGE,
                peerDataOperationRequestResponseMessage=response,
            ),
        )

    def _web_message(self, read: Read, key: wa_pb2.MessageKey) -> wa_pb2.WebMessageInfo:
        info = wa_pb2.WebMessageInfo(messageTimestamp=read.time)
        info.key.CopyFrom(key)
        if read.text is not None:
            info.message.conversation = read.text
        return info
