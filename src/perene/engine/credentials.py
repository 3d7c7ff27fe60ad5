"""Who a session is on WhatsApp's side: keys, JIDs and the account's signature over them."""

import base64
import json
import secrets
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, cast

from google.protobuf.message import DecodeError

from perene.core.errors import UnreadableState
from perene.crypto import KeyPair
from perene.signal.bundle import SignedPreKey
from perene.signal.identity import LocalIdentity
from perene.wire.jid import Jid
from perene.wire.proto import wa_pb2

_BY_NUMBER_FOR_S = 7 * 86_400
"""How long an account that is refused to write by LID does without trying it."""

VERSION = 1
"""Format of the serialised credentials; a golden file proves that every older one loads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The credentials of one linked device. A value: a change is a new value.

    `pn` and `lid` are own JIDs with device, None until paired. `account` is the serialised
    `ADVSignedDeviceIdentity` including the account's signature key, shown to peers on first
    contact. `login_counter` counts successful logins (the `lc` field of the login payload).
    `by_number_since` is when (Unix time) the account was last found to write to people by number,
    `keys_mended_at` when our keys were last put in place of others that the server had of us.
    """

    noise: KeyPair
    identity: KeyPair
    registration_id: int
    signed_pre_key: SignedPreKey
    adv_secret: bytes
    next_pre_key_id: int = 1
    pn: str | None = None
    lid: str | None = None
    account: bytes | None = None
    platform: str | None = None
    push_name: str | None = None
    routing_info: bytes | None = None
    login_counter: int = 0
    by_number_since: int | None = None
    keys_mended_at: int | None = None

    @classmethod
    def create(cls) -> "Credentials":
        """Make the keys of a device that is not linked yet."""
        local = LocalIdentity.generate()
        return cls(
            noise=KeyPair.generate(),
            identity=local.key_pair,
            registration_id=local.registration_id,
            signed_pre_key=SignedPreKey.generate(1, local.key_pair),
            adv_secret=secrets.token_bytes(32),
        )

    @property
    def paired(self) -> bool:
        """True once the phone has accepted this device."""
        return self.account is not None

    @property
    def local(self) -> LocalIdentity:
        """What the Signal layer needs to know of us."""
        return LocalIdentity(key_pair=self.identity, registration_id=self.registration_id)

    @property
    def own_pn(self) -> Jid:
        """Our phone number JID, with device. Only once paired."""
        if self.pn is None:
            raise UnreadableState("the credentials hold no own JID")
        return Jid.parse(self.pn)

    @property
    def own_lid(self) -> Jid:
        """Our LID JID, with device. Only once paired."""
        if self.lid is None:
            raise UnreadableState("the credentials hold no own LID")
        return Jid.parse(self.lid)

    @property
    def account_key(self) -> bytes | None:
        """The identity key of our phone, None if it is not known."""
        try:
            account = wa_pb2.ADVSignedDeviceIdentity.FromString(self.account or b"")
        except DecodeError:
            return None
        return account.accountSignatureKey or None

    @property
    def own_device(self) -> Jid:
        """Our device under its canonical address, by which our own sender keys are kept."""
        return self.own_lid.with_device(self.own_pn.device)

    def is_own(self, jid: Jid) -> bool:
        """Tell whether this is our account, or a device of it, under either address."""
        return jid.bare in (self.own_pn.bare, self.own_lid.bare)

    def writes_by_number(self, now: datetime) -> bool:
        """Tell whether people are to be written to by number to begin with."""
        if self.by_number_since is None:
            return False
        return abs(now.timestamp() - self.by_number_since) < _BY_NUMBER_FOR_S

    def changed(self, **changes: Any) -> "Credentials":
        """Return a copy with these fields replaced."""
        return replace(self, **changes)

    def serialize(self) -> bytes:
        """Return the versioned form that `parse` reads."""
        fields = asdict(self)
        for name in ("by_number_since", "keys_mended_at"):
            if fields[name] is None:
                # An older Perene, which does not know of it, reads the credentials of all others.
                del fields[name]
        return json.dumps({"version": VERSION, **cast("dict[str, Any]", _plain(fields))}).encode()

    @classmethod
    def parse(cls, data: bytes) -> "Credentials":
        """Read what `serialize` wrote, or raise UnreadableState: never "absent"."""
        try:
            fields: dict[str, Any] = json.loads(data)
            version = fields.pop("version")
            if version != VERSION:
                raise UnreadableState(f"credentials of format {version}; this Perene reads 1")
            return cls(
                noise=_pair(fields.pop("noise")),
                identity=_pair(fields.pop("identity")),
                signed_pre_key=SignedPreKey(
                    id=fields["signed_pre_key"]["id"],
                    key_pair=_pair(fields["signed_pre_key"]["key_pair"]),
                    signature=_bytes(fields.pop("signed_pre_key")["signature"]),
                ),
                adv_secret=_bytes(fields.pop("adv_secret")),
                account=_optional(fields.pop("account")),
                routing_info=_optional(fields.pop("routing_info")),
                **fields,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise UnreadableState("the stored credentials are damaged") from error


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        entries = cast("dict[str, object]", value)
        return {name: _plain(entry) for name, entry in entries.items()}
    return value


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _optional(text: str | None) -> bytes | None:
    return None if text is None else _bytes(text)


def _pair(fields: dict[str, str]) -> KeyPair:
    return KeyPair(_bytes(fields["private"]), _bytes(fields["public"]))
