"""Whether an account stands by its companions, whose keys the server hands out."""

import asyncio
from collections.abc import Collection, Iterable, Mapping

import structlog
from google.protobuf.message import DecodeError

from perene.core.masking import mask_numbers
from perene.crypto import verify
from perene.engine.addresses import signal_address
from perene.engine.bundles import Fetched, fetch
from perene.engine.draft import Draft
from perene.engine.queries import Queries
from perene.engine.stage import Stage
from perene.wire.jid import HOSTED_DEVICE, Jid
from perene.wire.proto import wa_pb2

log = structlog.stdlib.get_logger()

BY_ACCOUNT = b"\x06\x00"
BY_HOSTED_ACCOUNT = b"\x06\x05"
BY_DEVICE = b"\x06\x01"
"""What stands before the bytes that are signed (docs/reference/protocol.md §3.2)."""

_AT_ONCE = 16
"""Companions looked at before other sessions have their turn; each takes some 0.3 ms."""

_NAMED = 5
"""How many devices a line of the log names."""


async def fetch_looked_at(stage: Stage, queries: Queries, devices: Collection[Jid]) -> Fetched:
    """Do as `fetch`, and tell of companions that no account stands by. Do not hold the lock."""
    fetched = await fetch(queries, devices)
    await tell_of_unproven(stage, fetched)
    return fetched


async def tell_of_unproven(stage: Stage, fetched: Fetched) -> None:
    """Log which companions are not proved to be their account's; hold no lock.

    Their keys are used all the same. WhatsApp Web refuses them, and so does whatsapp-rust; but what
    it took for a forgery were companions of good faith twice: of everybody whose bundle leaves out
    the account's key, as the server's do (its pull requests 772, 2026-06-08, and 790, 2026-06-09),
    and hosted ones (1440, 2026-09-05). A message is not to be kept from them for such a reason, nor
    because a contact has a new phone that we have not heard of.
    """
    companions = [device for device in fetched.bundles if _is_companion(device)]
    if not companions:
        return
    accounts = await _account_keys(stage, companions, fetched)
    unproven: dict[str, list[Jid]] = {}
    for number, device in enumerate(companions, 1):
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
        identity, account = fetched.bundles[device].identity, accounts.get(device.bare)
        flaw = flaw_of(fetched.proofs.get(device), identity, account)
        if flaw is not None:
            unproven.setdefault(flaw, []).append(device)
    for reason, devices in unproven.items():
        named = [mask_numbers(str(device)) for device in devices[:_NAMED]]
        log.warning("devices_unproven", reason=reason, count=len(devices), devices=named)


def flaw_of(proof: bytes | None, identity: bytes, account: bytes | None) -> str | None:
    """Tell what is wrong with an `ADVSignedDeviceIdentity`, None if nothing can be said against it.

    It is for the companion with this identity key; `account` is the identity key of its phone, if
    that is known. The prefixes are as in whatsapp-rust pull request 1440, 2026-09-05.
    """
    if proof is None:
        return "absent"
    try:
        signed = wa_pb2.ADVSignedDeviceIdentity.FromString(proof)
        details = wa_pb2.ADVDeviceIdentity.FromString(signed.details)
    except DecodeError:
        return "malformed"
    key = signed.accountSignatureKey or account
    if key is None:
        return None
    if account is not None and key != account:
        return "other_account"
    is_hosted = details.deviceType == wa_pb2.ADVEncryptionType.HOSTED
    covered = signed.details + identity
    prefix = BY_HOSTED_ACCOUNT if is_hosted else BY_ACCOUNT
    if not verify(key, prefix + covered, signed.accountSignature):
        return "account_signature"
    if not verify(identity, BY_DEVICE + covered + key, signed.deviceSignature):
        return "device_signature"
    return None


def _is_companion(device: Jid) -> bool:
    # Of hosted ones nothing is known but that they sign under another prefix; they get nothing.
    return bool(device.device) and not device.is_hosted and device.device != HOSTED_DEVICE


async def _account_keys(
    stage: Stage, companions: Iterable[Jid], fetched: Fetched
) -> Mapping[Jid, bytes]:
    """Return the identity keys of the phones that these belong to, as far as they are known."""
    found: dict[Jid, bytes] = {}
    async with stage.lock:
        draft, own = Draft(stage), stage.credentials
        people = dict.fromkeys(device.bare for device in companions)
        await draft.load_ratchets([signal_address(person) for person in people])
        for person in people:
            ratchet = await draft.ratchet(signal_address(person))
            bundle = fetched.bundles.get(person)
            key = bundle.identity if bundle is not None else ratchet.remote_identity
            if own.is_own(person):
                key = own.account_key or key
            if key is not None:
                found[person] = key
    return found
