"""A client without an account: what it shows, and what a phone has proposed to it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from perene.sim.connection import Connection
from perene.sim.model import Device, PublicKeys
from perene.wire.node import Node
from perene.wire.noise import ClientFinish
from perene.wire.proto import wa_pb2

FIRST_REF = timedelta(seconds=60)
NEXT_REF = timedelta(seconds=20)
"""How long the first ref is shown, and each further one (docs/reference/protocol.md §3.1)."""


def presented(payload: wa_pb2.ClientPayload) -> tuple[int, int, int]:
    """Return the version that a client says it is of."""
    version = payload.userAgent.appVersion
    return version.primary, version.secondary, version.tertiary


class PairingRefused(Exception):
    """A phone cannot link what it was shown; the message says why."""

    def __init__(self, message: str, *, gone: bool = False) -> None:
        super().__init__(message)
        self.gone = gone
        """Whether it was good once: a fresh QR, or code, will do."""


@dataclass(slots=True, kw_only=True)
class Proposal:
    """A companion that was told it may join, and has not signed yet."""

    device: Device
    signed: wa_pb2.ADVSignedDeviceIdentity
    iq_id: str


class Host(Protocol):
    """Who has let a client in: hears what it says, and that it is gone."""

    def receive(self, candidate: "Candidate", node: Node) -> None: ...

    def forget(self, candidate: "Candidate") -> None: ...


class Candidate:
    """A client without an account: a stage of a connection."""

    def __init__(
        self,
        connection: Connection,
        finish: ClientFinish,
        payload: wa_pb2.ClientPayload,
        *,
        host: "Host",
        refs: tuple[str, ...],
        since: datetime,
    ) -> None:
        data = payload.devicePairingData
        self.connection = connection
        self.noise_static = finish.client_static
        self.push_name = payload.pushName
        self.version = presented(payload)
        self.refs = refs
        self.since = since
        self.keys = PublicKeys(
            registration_id=int.from_bytes(data.eRegid),
            identity=data.eIdent,
            signed_id=int.from_bytes(data.eSkeyId),
            signed_key=data.eSkeyVal,
            signed_signature=data.eSkeySig,
        )
        self.proposal: Proposal | None = None
        self.retired: set[bytes] = set()
        """Secrets that it was told to replace: who scans one is not linked."""
        self.platform = wa_pb2.DeviceProps.FromString(data.deviceProps).os
        self._host = host

    def receive(self, node: Node) -> None:
        """Take a stanza: answers to ours, or the steps of pairing by code."""
        self._host.receive(self, node)

    def lost(self) -> None:
        """The client has given up, or has been restarted."""
        self._host.forget(self)

    def expires(self, ref: str) -> datetime:
        """Return until when a ref may be scanned."""
        return self.since + FIRST_REF + NEXT_REF * self.refs.index(ref)
