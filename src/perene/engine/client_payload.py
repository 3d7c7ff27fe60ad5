"""The ClientPayload: what a client says of itself at the end of the handshake."""

import hashlib
from dataclasses import dataclass

from perene.engine.credentials import Credentials
from perene.wire.proto import wa_pb2

_KEY_TYPE = b"\x05"
"""Curve25519, as libsignal marks it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientIdentity:
    """What the user can choose of what WhatsApp is told: version, and the name on the phone."""

    version: tuple[int, int, int]
    device_name: str = "Perene"
    full_history: bool = True


def client_payload(credentials: Credentials, client: ClientIdentity) -> bytes:
    """Return the payload that logs in, or that registers if the device is not linked yet.

    Fields as in docs/reference/protocol.md §1.3.
    """
    payload = _common(client)
    if credentials.paired:
        jid = credentials.own_pn
        payload.username = int(jid.user)
        payload.device = jid.device
        payload.passive = True
        payload.pull = True
        payload.lidDbMigrated = True
        payload.lc = credentials.login_counter + 1
    else:
        payload.passive = False
        payload.pull = False
        payload.devicePairingData.CopyFrom(_registration(credentials, client))
    return payload.SerializeToString()


def _common(client: ClientIdentity) -> wa_pb2.ClientPayload:
    payload = wa_pb2.ClientPayload()
    agent = payload.userAgent
    agent.platform = wa_pb2.ClientPayload.UserAgent.WEB
    agent.releaseChannel = wa_pb2.ClientPayload.UserAgent.RELEASE
    version = agent.appVersion
    version.primary, version.secondary, version.tertiary = client.version
    agent.mcc = "000"
    agent.mnc = "000"
    agent.osVersion = "0.1"
    agent.manufacturer = ""
    agent.device = "Desktop"
    agent.osBuildNumber = "0.1"
    agent.localeLanguageIso6391 = "en"
    agent.localeCountryIso31661Alpha2 = "US"
    payload.webInfo.webSubPlatform = wa_pb2.ClientPayload.WebInfo.WEB_BROWSER
    payload.connectType = wa_pb2.ClientPayload.WIFI_UNKNOWN
    payload.connectReason = wa_pb2.ClientPayload.USER_ACTIVATED
    return payload


def _registration(
    credentials: Credentials, client: ClientIdentity
) -> wa_pb2.ClientPayload.DevicePairingRegistrationData:
    signed = credentials.signed_pre_key
    dotted = ".".join(map(str, client.version))
    return wa_pb2.ClientPayload.DevicePairingRegistrationData(
        eRegid=credentials.registration_id.to_bytes(4, "big"),
        eKeytype=_KEY_TYPE,
        eIdent=credentials.identity.public,
        eSkeyId=signed.id.to_bytes(3, "big"),
        eSkeyVal=signed.key_pair.public,
        eSkeySig=signed.signature,
        # The protocol asks for MD5 of the version; it protects nothing.
        buildHash=hashlib.md5(dotted.encode(), usedforsecurity=False).digest(),
        deviceProps=_device_props(client).SerializeToString(),
    )


def _device_props(client: ClientIdentity) -> wa_pb2.DeviceProps:
    props = wa_pb2.DeviceProps(
        os=client.device_name,
        platformType=wa_pb2.DeviceProps.CHROME,
        requireFullSync=client.full_history,
    )
    props.version.primary, props.version.secondary, props.version.tertiary = 0, 1, 0
    # What WhatsApp Web says it can take, as whatsmeow has it (store/clientpayload.go, 2026-08-21)
    # but for the fields 21 and 22; here all of it is kept as it comes. In November 2025 phones
    # unlinked companions of an older payload within seconds (waha issue 1611; whatsmeow ac4867a).
    history = props.historySyncConfig
    history.storageQuotaMb = 10240
    history.inlineInitialPayloadInE2EeMsg = True
    history.supportCallLogHistory = True
    history.supportBotUserAgentChatHistory = True
    history.supportCagReactionsAndPolls = True
    history.supportBizHostedMsg = True
    history.supportRecentSyncChunkMessageCountTuning = True
    history.supportHostedGroupMsg = True
    history.supportFbidBotChatHistory = True
    history.supportMessageAssociation = True
    history.supportGroupHistory = True
    history.thumbnailSyncDaysLimit = 60
    return props
