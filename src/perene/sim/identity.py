"""The keys with which the simulated server proves itself (docs/reference/protocol.md §1.2)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from perene.crypto import KeyPair
from perene.wire.certificates import issue_chain

_VALID = timedelta(days=3650)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerIdentity:
    """A root key pair, and a static key with a chain of certificates under that root."""

    root: KeyPair
    static: KeyPair
    chain: bytes

    @classmethod
    def issue(cls, *, now: datetime, root: KeyPair | None = None) -> "ServerIdentity":
        """Make a static key and certify it; the root is made too unless given."""
        root = root or KeyPair.generate()
        static = KeyPair.generate()
        chain = issue_chain(
            root=root,
            leaf_key=static.public,
            not_before=now - timedelta(days=1),
            not_after=now + _VALID,
        )
        return cls(root=root, static=static, chain=chain)
