"""WhatsApp's addresses.

`user@server`, or `user:device@server` for one device of a user. The server itself is the address
without a user: `@s.whatsapp.net`. Sources: docs/reference/protocol.md §4.3 and §7.2; whatsmeow
`types/jid.go`, Baileys `src/WABinary/jid-utils.ts` (both 2026-08-21).
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from perene.wire.errors import JidError

PN_SERVER: Final = "s.whatsapp.net"
LEGACY_SERVER: Final = "c.us"
LID_SERVER: Final = "lid"
GROUP_SERVER: Final = "g.us"
BROADCAST_SERVER: Final = "broadcast"
NEWSLETTER_SERVER: Final = "newsletter"
HOSTED_SERVER: Final = "hosted"
HOSTED_LID_SERVER: Final = "hosted.lid"
MESSENGER_SERVER: Final = "msgr"
INTEROP_SERVER: Final = "interop"
BOT_SERVER: Final = "bot"

SERVER_JID: Final = "@s.whatsapp.net"
"""The text of WhatsApp's server as the other side of a stanza."""

STATUS_JID: Final = "status@broadcast"
"""The text of the list that status updates go to."""

DOMAINS: Final = {PN_SERVER: 0, LID_SERVER: 1, HOSTED_SERVER: 128, HOSTED_LID_SERVER: 129}
"""Domain type of the servers whose users have devices; also the suffix of their Signal names."""

HOSTED_DEVICE: Final = 99
"""The number of a device that a business has at Meta."""

MAX_DEVICE: Final = 65535  # FB_JID and INTEROP_JID give a device two bytes, AD_JID one.
MAX_TEXT: Final = 256  # Real ones stay under 64; parsed texts are cached, so they must be small.

_PATTERN = re.compile(r"(?:([^@:\s]*)(?::([0-9]{1,5}))?@)?([a-z0-9.-]+)")
_SERVERS = frozenset((
    *DOMAINS,
    LEGACY_SERVER,
    GROUP_SERVER,
    BROADCAST_SERVER,
    NEWSLETTER_SERVER,
    MESSENGER_SERVER,
    INTEROP_SERVER,
    BOT_SERVER,
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Jid:
    """An address: a user (or a group, a channel…), or one device of a user.

    Device 0 is the phone; an address without a device reads as device 0. `str()` gives the text
    that `parse` takes, with device 0 left out.
    """

    user: str
    server: str
    device: int = 0

    @staticmethod
    def parse(text: str) -> "Jid":
        """Read an address from its text; raises JidError. Cached, so call it freely.

        A server's bare name (`s.whatsapp.net`) is an address too; any other text without `@` is
        not.
        """
        return _parse(text)

    def __str__(self) -> str:
        if self.device:
            return f"{self.user}:{self.device}@{self.server}"
        return f"{self.user}@{self.server}"

    @property
    def bare(self) -> "Jid":
        """The user, without the device."""
        return Jid(self.user, self.server) if self.device else self

    def with_device(self, device: int) -> "Jid":
        """Another device of the same user."""
        return Jid(self.user, self.server, device)

    @property
    def is_server(self) -> bool:
        """The server itself, not anybody on it."""
        return not self.user

    @property
    def is_pn(self) -> bool:
        """A user, or a device, named by phone number."""
        return self.server == PN_SERVER and bool(self.user)

    @property
    def is_lid(self) -> bool:
        """A user, or a device, named by LID."""
        return self.server == LID_SERVER and bool(self.user)

    @property
    def is_hosted(self) -> bool:
        """A device that a business hosts at Meta; named by number or by LID."""
        return self.server in (HOSTED_SERVER, HOSTED_LID_SERVER)

    @property
    def is_group(self) -> bool:
        """A group, or a community."""
        return self.server == GROUP_SERVER

    @property
    def is_status(self) -> bool:
        """The list that status updates go to."""
        return self.server == BROADCAST_SERVER and self.user == "status"

    @property
    def is_broadcast(self) -> bool:
        """A broadcast list, status included."""
        return self.server == BROADCAST_SERVER

    @property
    def is_newsletter(self) -> bool:
        """A channel."""
        return self.server == NEWSLETTER_SERVER


def signal_name(jid: Jid) -> str:
    """Return the name of a user in Signal addresses: `user`, or `user_1` for a LID.

    Hosted devices have `user_128` and `user_129`. Source: whatsmeow `SignalAddressUser` in
    `types/jid.go`.
    """
    domain = DOMAINS.get(jid.server, 0)
    return f"{jid.user}_{domain}" if domain else jid.user


def is_server_jid(text: str) -> bool:
    """Tell whether a stanza's `from` or `to` means WhatsApp's server: with or without the `@`."""
    return text in (SERVER_JID, PN_SERVER)


@lru_cache(maxsize=8192)
def _parse(text: str) -> Jid:
    if len(text) > MAX_TEXT:
        raise JidError(f"an address has at most {MAX_TEXT} characters, not {len(text)}")
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise JidError("the text is not user@server or user:device@server")
    user, device, server = match.groups()
    if user is None and server not in _SERVERS:
        raise JidError("the text has no @ and is not a server's name")
    number = int(device or "0")
    if number > MAX_DEVICE:
        raise JidError(f"a device number is at most {MAX_DEVICE}")
    return Jid(user or "", server, number)
