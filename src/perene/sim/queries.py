"""Which part of the server answers which namespace."""

from collections.abc import Callable

from perene.sim.iq.account import AccountService
from perene.sim.iq.groups import GroupService
from perene.sim.iq.keys import KeyServer
from perene.sim.iq.reply import result
from perene.sim.iq.usync import UserSync
from perene.sim.people import People
from perene.sim.session import Session
from perene.sim.world import World
from perene.wire.node import Node

Answerer = Callable[[Session, Node], Node | None]
_EMPTY = (
    "urn:xmpp:whatsapp:dirty",
    "urn:xmpp:whatsapp:push",
    "urn:xmpp:whatsapp:account",
    "status",
    "disappearing_mode",
    "w:stats",
    "w:biz",
    "newsletter",
    "tos",
    "bot",
    "fb:thrift_iq",
)


class Queries:
    """Dispatches queries; what nobody knows gets an empty answer and is counted."""

    def __init__(
        self,
        world: World,
        people: People,
        *,
        keys: KeyServer,
        groups: GroupService,
        unlink: Callable[[Session, Node], None],
    ) -> None:
        self._world = world
        self._unlink = unlink
        self.account = account = AccountService(world)
        self._answerers: dict[str, Answerer] = {
            "encrypt": keys.answer,
            "usync": UserSync(world, people).answer,
            "w:g2": groups.answer,
            "passive": account.passive,
            "w:p": account.ping,
            "urn:xmpp:ping": account.ping,
            "abt": account.props,
            "w": account.props,
            "blocklist": account.blocklist,
            "privacy": account.privacy,
            "w:m": account.media,
            "w:mex": account.mex,
            "w:sync:app:state": account.app_state,
            "w:profile:picture": account.picture,
            "md": self._companion,
        } | dict.fromkeys(_EMPTY, account.empty)

    def answer(self, session: Session, iq: Node) -> Node | None:
        """Return the reply to a query of a device."""
        xmlns = iq.attrs.get("xmlns", "")
        self._world.evidence.queries[xmlns] += 1
        answerer = self._answerers.get(xmlns)
        if answerer is not None:
            return answerer(session, iq)
        inside = iq.children[0].tag if iq.children else ""
        self._world.evidence.unknown_iqs[f"{xmlns} {inside}".strip()] += 1
        return result(iq)

    def _companion(self, session: Session, iq: Node) -> Node:
        removal = iq.child("remove-companion-device")
        if removal is not None:
            self._unlink(session, removal)
        return result(iq)
