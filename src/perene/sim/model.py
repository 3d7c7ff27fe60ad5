"""Who exists in the simulated world: accounts, their devices, and the keys these published."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from perene.crypto import KeyPair
from perene.signal.bundle import PreKeyBundle
from perene.sim.mailbox import Mailbox
from perene.wire.errors import JidError
from perene.wire.jid import LID_SERVER, PN_SERVER, Jid

Addressing = Literal["lid", "pn"]


@dataclass(slots=True, kw_only=True)
class PublicKeys:
    """The pre-key store of one device: what others fetch to start a ratchet with it."""

    registration_id: int
    identity: bytes
    signed_id: int
    signed_key: bytes
    signed_signature: bytes
    one_time: dict[int, bytes] = field(default_factory=dict[int, bytes])
    replenish: Callable[[], tuple[int, bytes]] | None = None
    """Makes another one-time key when there is none left; simulated parties never run out."""
    handed_out: int = 0
    warned: bool = False
    """Whether the device was told that it is low, since its last upload."""

    def take(self) -> PreKeyBundle:
        """Hand out a bundle; its one-time key is gone from the store afterwards."""
        self.handed_out += 1
        taken: tuple[int, bytes] | None = None
        if self.one_time:
            key_id = next(iter(self.one_time))
            taken = key_id, self.one_time.pop(key_id)
        elif self.replenish is not None:
            taken = self.replenish()
        return PreKeyBundle(
            registration_id=self.registration_id,
            identity=self.identity,
            signed_pre_key_id=self.signed_id,
            signed_pre_key=self.signed_key,
            signed_pre_key_signature=self.signed_signature,
            pre_key_id=taken[0] if taken else None,
            pre_key=taken[1] if taken else None,
        )


@dataclass(slots=True, kw_only=True, eq=False)
class Device:
    """One device of an account; number 0 is the phone."""

    account: "Account"
    id: int
    keys: PublicKeys
    mailbox: Mailbox
    noise_static: bytes = b""
    key_index: int = 0
    signed_identity: bytes = b""
    """ADVSignedDeviceIdentity with the account's key and both signatures; empty for the phone."""
    logins: int = 0
    platform: str = ""
    synced: bool = False
    """Whether its phone has sent it keys and history."""

    def jid(self, addressing: Addressing = "lid") -> Jid:
        """Return the device's address in one of its two forms."""
        return self.account.jid(addressing).with_device(self.id)

    @property
    def name(self) -> str:
        """How evidence names the device: number, colon, device."""
        return f"{self.account.phone}:{self.id}"


@dataclass(slots=True, kw_only=True, eq=False)
class Account:
    """Somebody with a number: a phone, and perhaps companions."""

    phone: str
    lid: str
    name: str
    identity: KeyPair
    addressing: Addressing = "lid"
    """The form in which what this account sends reaches others."""
    raw_id: int = 1
    devices: dict[int, Device] = field(default_factory=dict[int, Device])
    removed: set[int] = field(default_factory=set[int])
    acquainted: set[str] = field(default_factory=set[str])
    """LIDs of the accounts that looked up this one's devices: they hear when these change."""
    blocked: set[str] = field(default_factory=set[str])
    next_device: int = 1

    def jid(self, addressing: Addressing = "lid") -> Jid:
        """Return the account's address in one of its two forms."""
        return Jid(self.lid, LID_SERVER) if addressing == "lid" else Jid(self.phone, PN_SERVER)

    @property
    def companions(self) -> list[Device]:
        """The linked devices, oldest first."""
        return [device for device in self.devices.values() if device.id]


class Directory:
    """Finds accounts by number and by LID."""

    def __init__(self) -> None:
        self._by_phone: dict[str, Account] = {}
        self._by_lid: dict[str, Account] = {}

    def add(self, account: Account) -> None:
        """Make an account known."""
        self._by_phone[account.phone] = account
        self._by_lid[account.lid] = account

    def by_phone(self, phone: str) -> Account | None:
        """Return the account with this number."""
        return self._by_phone.get(phone)

    def by_lid(self, lid: str) -> Account | None:
        """Return the account with this LID's user part."""
        return self._by_lid.get(lid)

    def find(self, jid: Jid) -> Account | None:
        """Return whose address this is, in either form."""
        if jid.server == LID_SERVER:
            return self._by_lid.get(jid.user)
        return self._by_phone.get(jid.user) if jid.server == PN_SERVER else None

    def find_text(self, jid: str) -> Account | None:
        """Return whose address this text is, None also if it is no address."""
        try:
            return self.find(Jid.parse(jid))
        except JidError:
            return None

    def device(self, jid: Jid) -> Device | None:
        """Return the device with this address, in either form."""
        account = self.find(jid)
        return account.devices.get(jid.device) if account else None

    def __iter__(self) -> Iterator[Account]:
        return iter(self._by_phone.values())
