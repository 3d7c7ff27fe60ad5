"""Credentials: stored whole, read back whole, and never taken for absent."""

import pytest

from perene.core.errors import UnreadableState
from perene.engine.client_payload import ClientIdentity, client_payload
from perene.engine.credentials import Credentials
from perene.wire.jid import Jid
from perene.wire.proto import wa_pb2
from tests.unit.engine.fakes import paired

CLIENT = ClientIdentity(version=(2, 3000, 7), device_name="Perene")


def payload(credentials: Credentials) -> wa_pb2.ClientPayload:
    return wa_pb2.ClientPayload.FromString(client_payload(credentials, CLIENT))


@pytest.mark.parametrize("name", ["by_number_since", "keys_mended_at"])
def test_an_older_perene_reads_the_credentials_of_nearly_all(name: str) -> None:
    assert name.encode() not in paired().serialize()
    assert name.encode() in paired().changed(**{name: 1_788_000_000}).serialize()


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials.create(),
        paired(),
        paired().changed(by_number_since=1_788_000_000),
        paired().changed(keys_mended_at=1_788_000_000),
    ],
)
def test_what_is_stored_is_read_back(credentials: Credentials) -> None:
    assert Credentials.parse(credentials.serialize()) == credentials


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"version": 99}', b"\xff", Credentials.create().serialize()[:-9]]
)
def test_damaged_or_newer_credentials_are_unreadable_not_absent(data: bytes) -> None:
    with pytest.raises(UnreadableState):
        Credentials.parse(data)


def test_a_device_without_an_account_registers() -> None:
    own = Credentials.create()
    found = payload(own)
    assert found.HasField("devicePairingData")
    assert found.devicePairingData.eIdent == own.identity.public
    assert found.devicePairingData.eRegid == own.registration_id.to_bytes(4, "big")
    assert not found.passive


def test_a_device_says_of_itself_what_the_web_client_does() -> None:
    registration = payload(Credentials.create()).devicePairingData
    props = wa_pb2.DeviceProps.FromString(registration.deviceProps)
    assert (props.os, props.platformType) == ("Perene", wa_pb2.DeviceProps.CHROME)
    said = {field.name: value for field, value in props.historySyncConfig.ListFields()}
    assert said == {
        "storageQuotaMb": 10240,
        "inlineInitialPayloadInE2EeMsg": True,
        "supportCallLogHistory": True,
        "supportBotUserAgentChatHistory": True,
        "supportCagReactionsAndPolls": True,
        "supportBizHostedMsg": True,
        "supportRecentSyncChunkMessageCountTuning": True,
        "supportHostedGroupMsg": True,
        "supportFbidBotChatHistory": True,
        "supportMessageAssociation": True,
        "supportGroupHistory": True,
        "thumbnailSyncDaysLimit": 60,
    }


def test_a_linked_device_logs_in_and_counts_its_logins() -> None:
    found = payload(paired().changed(login_counter=4))
    assert (found.username, found.device, found.lc) == (15550000001, 3, 5)
    assert found.passive
    assert not found.HasField("devicePairingData")


def test_own_addresses_are_told_from_others() -> None:
    own = paired()
    assert own.own_device == Jid.parse("100000000000001:3@lid")
    assert own.is_own(Jid.parse("15550000001@s.whatsapp.net"))
    assert own.is_own(Jid.parse("100000000000001:8@lid"))
    assert not own.is_own(Jid.parse("15550000001@lid"))
