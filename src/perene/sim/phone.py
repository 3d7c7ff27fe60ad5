"""What a phone does for its companions: shares keys, sends history, resends what they miss."""

import zlib
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
_KEY_EPOCH = 1


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
        """Send a new companion its app-state key and history (facts §3.4, §7.3 item 10)."""
        self.share_key(companion)
        self._send_history(companion, _HISTORY.INITIAL_BOOTSTRAP, self._bootstrap(), progress=0)
        self._send_history(companion, _HISTORY.PUSH_NAME, self._push_names(), progress=0)
        recent = wa_pb2.HistorySync(syncType=wa_pb2.HistorySync.RECENT, chunkOrder=1, progress=100)
        self._send_history(companion, _HISTORY.RECENT, recent, progress=100)

    def share_key(self, companion: Device) -> None:
        """Send the app-state key."""
        share = wa_pb2.Message.AppStateSyncKeyShare()
        key = share.keys.add()
        key.keyId.keyId = (0).to_bytes(2) + _KEY_EPOCH.to_bytes(4)
        key.keyData.keyData = self.app_state_key
        key.keyData.timestamp = int(self._world.now().timestamp())
        key.keyData.fingerprint.rawId = self._party.desk.device.account.raw_id
        key.keyData.fingerprint.currentIndex = _KEY_EPOCH
        key.keyData.fingerprint.deviceIndexes.append(0)
        self._party.sender.send_to_companion(
            companion,
            ProtocolMessage(
                type=ProtocolMessage.APP_STATE_SYNC_KEY_SHARE, appStateSyncKeyShare=share
            ),
        )

    def _send_history(
        self, companion: Device, kind: "HistoryKind", history: wa_pb2.HistorySync, *, progress: int
    ) -> None:
        notification = wa_pb2.Message.HistorySyncNotification(
            syncType=kind,
            chunkOrder=1,
            progress=progress,
            initialHistBootstrapInlinePayload=zlib.compress(history.SerializeToString()),
        )
        self._party.sender.send_to_companion(
            companion,
            ProtocolMessage(
                type=ProtocolMessage.HISTORY_SYNC_NOTIFICATION,
                historySyncNotification=notification,
            ),
        )

    def _bootstrap(self) -> wa_pb2.HistorySync:
        history = wa_pb2.HistorySync(
            syncType=wa_pb2.HistorySync.INITIAL_BOOTSTRAP, chunkOrder=1, progress=0
        )
        for chat in dict.fromkeys(message.chat for message in self.past.messages):
            conversation = history.conversations.add(
                id=str(chat.jid()), name=chat.name, endOfHistoryTransfer=True
            )
            said = [message for message in self.past.messages if message.chat is chat]
            for order, message in enumerate(sorted(said, key=lambda past: -past.time)):
                info = conversation.messages.add(msgOrderId=len(said) - order).message
                info.key.remoteJid = str(chat.jid())
                info.key.fromMe = message.from_me
                info.key.id = message.id
                info.message.conversation = message.text
                info.messageTimestamp = message.time
            history.phoneNumberToLidMappings.add(
                pnJid=str(chat.jid("pn")), lidJid=str(chat.jid("lid"))
            )
        return history

    def _push_names(self) -> wa_pb2.HistorySync:
        history = wa_pb2.HistorySync(
            syncType=wa_pb2.HistorySync.PUSH_NAME, chunkOrder=1, progress=0
        )
        for account in self._world.directory:
            if account.name:
                history.pushnames.add(id=str(account.jid("pn")), pushname=account.name)
        return history

    # --- requests ---------------------------------------------------------------------------------

    def _receive(self, companion: Device, content: ProtocolMessage, message_id: str) -> None:
        if content.type == ProtocolMessage.APP_STATE_SYNC_KEY_REQUEST:
            self.share_key(companion)
        elif content.type == ProtocolMessage.PEER_DATA_OPERATION_REQUEST_MESSAGE:
            self._party.desk.counts["phone_requests"] += 1
            if self.resends:
                self._resend(companion, content.peerDataOperationRequestMessage, message_id)

    def _resend(
        self,
        companion: Device,
        request: wa_pb2.Message.PeerDataOperationRequestMessage,
        message_id: str,
    ) -> None:
        """Answer a placeholder resend from what the phone itself has read (facts §4.5)."""
        kinds = wa_pb2.Message.PeerDataOperationRequestType
        if request.peerDataOperationRequestType != kinds.PLACEHOLDER_MESSAGE_RESEND:
            return
        response = wa_pb2.Message.PeerDataOperationRequestResponseMessage(
            peerDataOperationRequestType=kinds.PLACEHOLDER_MESSAGE_RESEND, stanzaId=message_id
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
