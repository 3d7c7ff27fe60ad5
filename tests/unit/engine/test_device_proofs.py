"""A companion whose account does not stand by it is told of, and only such a one."""

import pytest
from structlog.testing import capture_logs

from perene.crypto import KeyPair
from perene.engine.addresses import signal_address
from perene.engine.bundles import Fetched
from perene.engine.device_proofs import flaw_of, tell_of_unproven
from perene.engine.draft import Draft
from perene.signal import PreKeyBundle, Ratchet, SignedPreKey, start_outgoing
from perene.wire.jid import Jid
from perene.wire.proto import wa_pb2
from tests.unit.engine.fakes import OWN_LID, MemoryStore, paired, stage_on

PHONE, COMPANION = KeyPair.generate(), KeyPair.generate()
ANA = Jid.parse("200000000000002@lid")


def proof(
    *,
    account: KeyPair = PHONE,
    companion: KeyPair = COMPANION,
    shown: bool = False,
    hosted: bool = False,
) -> wa_pb2.ADVSignedDeviceIdentity:
    """Return what an account says of a companion; its key comes along if `shown`."""
    kinds = wa_pb2.ADVEncryptionType
    details = wa_pb2.ADVDeviceIdentity(
        rawId=1, timestamp=2, keyIndex=3, deviceType=kinds.HOSTED if hosted else kinds.E2EE
    ).SerializeToString()
    covered = details + companion.public
    return wa_pb2.ADVSignedDeviceIdentity(
        details=details,
        accountSignature=account.sign((b"\x06\x05" if hosted else b"\x06\x00") + covered),
        deviceSignature=companion.sign(b"\x06\x01" + covered + account.public),
        accountSignatureKey=account.public if shown else None,
    )


def flaw(said: wa_pb2.ADVSignedDeviceIdentity, account: bytes | None = PHONE.public) -> str | None:
    return flaw_of(said.SerializeToString(), COMPANION.public, account)


@pytest.mark.parametrize("shown", [False, True])
@pytest.mark.parametrize("hosted", [False, True])
def test_what_the_account_has_signed_is_genuine(*, shown: bool, hosted: bool) -> None:
    assert flaw(proof(shown=shown, hosted=hosted)) is None


def test_without_the_accounts_key_nothing_can_be_said_against_it() -> None:
    assert flaw(proof(account=KeyPair.generate()), None) is None


def test_the_key_that_comes_along_serves_where_the_phone_is_not_known() -> None:
    said = proof(shown=True)
    assert flaw(said, None) is None
    said.accountSignature = bytes(64)
    assert flaw(said, None) == "account_signature"


def test_each_thing_that_is_wrong_is_named() -> None:
    assert flaw_of(None, COMPANION.public, PHONE.public) == "absent"
    assert flaw_of(b"\xff", COMPANION.public, PHONE.public) == "malformed"
    assert flaw(proof(account=KeyPair.generate())) == "account_signature"
    assert flaw(proof(account=KeyPair.generate(), shown=True)) == "other_account"
    assert flaw(proof(companion=KeyPair.generate())) == "account_signature"
    said = proof()
    said.deviceSignature = proof(companion=KeyPair.generate()).deviceSignature
    assert flaw(said) == "device_signature"


def bundle(identity: KeyPair) -> PreKeyBundle:
    signed = SignedPreKey.generate(1, identity)
    return PreKeyBundle(
        registration_id=1,
        identity=identity.public,
        signed_pre_key_id=1,
        signed_pre_key=signed.key_pair.public,
        signed_pre_key_signature=signed.signature,
    )


async def reasons(
    fetched: Fetched, *, ratchet_with: KeyPair | None = None, account: bytes = b""
) -> list[str]:
    """Return why devices are told of; the phone may be known by a ratchet."""
    stage = stage_on(MemoryStore(), paired().changed(account=account))
    if ratchet_with is not None:
        draft = Draft(stage)
        begun = start_outgoing(Ratchet.empty, bundle(ratchet_with), stage.credentials.local)
        draft.set_ratchet(signal_address(ANA), begun)
        draft.submit()
    with capture_logs() as lines:
        await tell_of_unproven(stage, fetched)
    assert "200000000000002" not in str(lines)
    return [line["reason"] for line in lines]


async def test_the_phone_is_known_by_its_keys_or_its_ratchet() -> None:
    companion = ANA.with_device(4)
    proofs = {companion: proof(account=KeyPair.generate()).SerializeToString()}
    theirs = {companion: bundle(COMPANION)}
    assert await reasons(Fetched(theirs, proofs=proofs)) == []
    assert await reasons(Fetched(theirs, proofs=proofs), ratchet_with=PHONE) == [
        "account_signature"
    ]
    both = {**theirs, ANA: bundle(PHONE)}
    # What was fetched now is newer than the ratchet.
    assert await reasons(Fetched(both, proofs=proofs), ratchet_with=KeyPair.generate()) == [
        "account_signature"
    ]
    genuine = {companion: proof().SerializeToString()}
    assert await reasons(Fetched(both, proofs=genuine), ratchet_with=KeyPair.generate()) == []


async def test_our_own_companions_are_held_to_the_key_that_has_linked_us() -> None:
    other = Jid.parse(OWN_LID).with_device(9)
    fetched = Fetched({other: bundle(COMPANION)}, proofs={other: proof().SerializeToString()})
    for key, told in ((PHONE, []), (KeyPair.generate(), ["account_signature"])):
        ours = wa_pb2.ADVSignedDeviceIdentity(accountSignatureKey=key.public)
        assert await reasons(fetched, account=ours.SerializeToString()) == told
    assert await reasons(fetched, account=b"account") == []


async def test_phones_and_hosted_devices_need_no_proof() -> None:
    devices = (ANA, ANA.with_device(99), Jid.parse("200000000000002:7@hosted.lid"))
    assert await reasons(Fetched({device: bundle(COMPANION) for device in devices})) == []


async def test_many_devices_make_one_line() -> None:
    devices = [ANA.with_device(number) for number in range(1, 40)]
    assert await reasons(Fetched({d: bundle(COMPANION) for d in devices})) == ["absent"]
