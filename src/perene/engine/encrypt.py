"""Encrypting one plaintext for many devices on staged state."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perene.engine.addresses import signal_address
from perene.engine.credentials import Credentials
from perene.engine.draft import Draft
from perene.signal.bundle import PreKeyBundle
from perene.signal.cipher import encrypt
from perene.signal.errors import SignalError
from perene.signal.padding import pad
from perene.signal.x3dh import start_outgoing
from perene.wire.jid import Jid
from perene.wire.node import Node

_AT_ONCE = 8
"""First contacts that are encrypted before other sessions have their turn; each takes about a
millisecond, and a group can have a thousand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressed:
    """One device, the address it is written to on the wire, and what it shall read."""

    device: Jid
    wire: Jid
    plaintext: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """The `<to>` nodes of the devices that could be reached; the others are not in it.

    `first_contact` is true when a part is a pkmsg, so that our device identity must come along.
    """

    nodes: tuple[Node, ...]
    reached: tuple[Jid, ...]
    first_contact: bool


async def without_ratchet(draft: Draft, devices: Sequence[Jid]) -> list[Jid]:
    """Return those of these devices that have no ratchet to encrypt with."""
    await draft.load_ratchets([signal_address(device) for device in devices])
    return [
        device
        for device in devices
        if not (await draft.ratchet(signal_address(device))).has_current
    ]


async def seal_for_devices(
    draft: Draft,
    recipients: Sequence[Addressed],
    bundles: Mapping[Jid, PreKeyBundle],
    own: Credentials,
    enc_attrs: Mapping[str, str],
) -> Sealed:
    """Encrypt for each device, starting ratchets from `bundles` where there are none."""
    nodes: list[Node] = []
    reached: list[Jid] = []
    first_contact = False
    for number, recipient in enumerate(recipients, 1):
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
        enc = await seal_enc(draft, recipient, bundles.get(recipient.device), own, enc_attrs)
        if enc is None:
            continue
        first_contact |= enc.attrs["type"] == "pkmsg"
        reached.append(recipient.device)
        nodes.append(Node("to", {"jid": str(recipient.wire)}, (enc,)))
    return Sealed(
        nodes=tuple(nodes),
        reached=tuple(reached),
        first_contact=first_contact,
    )


async def seal_enc(
    draft: Draft,
    recipient: Addressed,
    bundle: PreKeyBundle | None,
    own: Credentials,
    enc_attrs: Mapping[str, str],
) -> Node | None:
    """Encrypt for one device; None if it cannot be reached (no ratchet and no usable bundle).

    A bundle starts a fresh ratchet, and archives the one before; but the keys that a retry receipt
    carries come again with it when we died before we acknowledged it, and serve only once.
    """
    address = signal_address(recipient.device)
    ratchet = await draft.ratchet(address)
    try:
        if bundle is not None and not ratchet.was_begun_with(bundle):
            # Archived for receiving only: a late message must not bring the old state back.
            ratchet = start_outgoing(ratchet.archive_current(), bundle, own.local)
        sealed = encrypt(ratchet, pad(recipient.plaintext), own.local)
    except SignalError:
        # No ratchet, or a bundle whose signature or keys are bad: others can be reached.
        return None
    draft.set_ratchet(address, sealed.ratchet)
    return Node("enc", {"v": "2", "type": sealed.kind, **enc_attrs}, sealed.data)


async def begin_anew(draft: Draft, device: Jid, bundle: PreKeyBundle, own: Credentials) -> bool:
    """Stage a fresh ratchet with a device, which the next message to it begins; the one before is
    archived. False if there is none with it, it was begun with this bundle, or this is no good."""
    address = signal_address(device)
    ratchet = await draft.ratchet(address)
    if not ratchet.has_current or ratchet.was_begun_with(bundle):
        return False
    try:
        draft.set_ratchet(address, start_outgoing(ratchet.archive_current(), bundle, own.local))
    except SignalError:
        return False
    return True
