"""App state as the server keeps it: numbered patches it cannot read.

docs/reference/protocol.md §6.2.
"""

from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from perene.sim.model import Account
from perene.wire.node import Node
from perene.wire.proto import wa_pb2

_CONFLICT = 409


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The reply for one collection; `changed` if a patch was taken."""

    name: str
    version: int
    node: Node
    changed: bool = False


@dataclass(slots=True)
class Collections:
    """The collections of one account."""

    patches: dict[str, list[bytes]] = field(default_factory=dict[str, list[bytes]])

    def answer(self, asked: Node) -> Answer:
        """Take the patch that came with a request, if any, and return what the client lacks."""
        name = asked.attr("name")
        known = int(asked.attrs.get("version", "0"))
        patches = self.patches.setdefault(name, [])
        offered = asked.child("patch")
        if offered is None:
            return self._reply(name, patches[known:])
        if known != len(patches):
            attrs = {"name": name, "type": "error", "version": str(len(patches))}
            failed = Node("error", {"code": str(_CONFLICT), "text": "conflict"})
            missing = _patches(patches[known:])
            return Answer(
                name=name, version=len(patches), node=Node("collection", attrs, (failed, *missing))
            )
        patches.append(_numbered(offered.data, len(patches) + 1))
        reply = self._reply(name, [])
        return Answer(name=name, version=reply.version, node=reply.node, changed=True)

    def _reply(self, name: str, missing: list[bytes]) -> Answer:
        version = len(self.patches[name])
        attrs = {"name": name, "version": str(version), "has_more_patches": "false"}
        return Answer(
            name=name, version=version, node=Node("collection", attrs, tuple(_patches(missing)))
        )


class AppStates:
    """The collections of every account."""

    def __init__(self) -> None:
        self._accounts: dict[str, Collections] = {}

    def of(self, account: Account) -> Collections:
        """Return the collections of an account."""
        return self._accounts.setdefault(account.phone, Collections())


def _patches(patches: list[bytes]) -> list[Node]:
    if not patches:
        return []
    return [Node("patches", {}, tuple(Node("patch", {}, patch) for patch in patches))]


def _numbered(patch: bytes, version: int) -> bytes:
    """Return the patch with the version that the server gives it; as it is if it is no patch."""
    try:
        parsed = wa_pb2.SyncdPatch.FromString(patch)
    except DecodeError:
        return patch
    parsed.version.version = version
    return parsed.SerializeToString()
