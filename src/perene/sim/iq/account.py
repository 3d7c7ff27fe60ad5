"""Everything else a client asks about itself (docs/reference/protocol.md §7.3, rows c to v)."""

from perene.sim.appstate import AppStates
from perene.sim.iq.reply import error, result
from perene.sim.reach_out import answer
from perene.sim.session import Session
from perene.sim.world import World
from perene.wire.node import Node

MEDIA_TTL_S = 3600
_PRIVACY = ("readreceipts", "last", "online", "profile", "status", "groupadd", "calladd")


class AccountService:
    """Properties, settings, privacy, media hosts, pings: mostly empty answers."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._states = AppStates()
        self.media_host = "localhost"

    def passive(self, session: Session, iq: Node) -> Node:
        """`passive`: after `<active/>` the device gets its stanzas."""
        if iq.child("active") is not None:
            # The reply comes first, then the queue.
            self._world.agenda.add(session.activate)
        elif iq.child("passive") is not None:
            session.device.mailbox.close(session)
        return result(iq)

    def ping(self, session: Session, iq: Node) -> Node:
        """`w:p`, `urn:xmpp:ping`."""
        self._world.evidence.events["pings"] += 1
        return result(iq)

    def props(self, session: Session, iq: Node) -> Node:
        """`abt`: what is set for clients: how long privacy tokens are good, if anything."""
        self._world.evidence.events["props_queries"] += 1
        attrs = {"protocol": "1", "ab_key": "sim", "hash": "sim", "refresh": "86400"}
        return result(iq, Node("props", attrs, self._world.tokens.props() or None))

    def blocklist(self, session: Session, iq: Node) -> Node:
        """`blocklist`: get, block, unblock."""
        blocked = session.device.account.blocked
        item = iq.child("item")
        if item is not None:
            jid = item.attr("jid")
            (blocked.add if item.attrs.get("action") == "block" else blocked.discard)(jid)
        items = tuple(Node("item", {"jid": jid}) for jid in sorted(blocked))
        return result(iq, Node("list", {"dhash": str(len(blocked))}, items))

    def privacy(self, session: Session, iq: Node) -> Node:
        """`privacy`: everything is allowed; tokens are handed on to those they are for."""
        if iq.attrs.get("type") == "set":
            self._world.tokens.take(self._world, session.device.account, iq)
            return result(iq)
        settings = tuple(Node("category", {"name": name, "value": "all"}) for name in _PRIVACY)
        return result(iq, Node("privacy", {}, settings))

    def media(self, session: Session, iq: Node) -> Node:
        """`w:m`: where media go."""
        host = Node("host", {"hostname": self.media_host, "maxContentLengthBytes": "2147483648"})
        attrs = {
            "auth": "sim",
            "ttl": str(MEDIA_TTL_S),
            "auth_ttl": str(MEDIA_TTL_S),
            "max_buckets": "12",
        }
        return result(iq, Node("media_conn", attrs, (host,)))

    def mex(self, session: Session, iq: Node) -> Node:
        """`w:mex`: the time lock; whatever else is asked for gets the same answer."""
        lock = self._world.reach_out.lock(session.device.account.phone, self._world.now())
        return result(iq, answer(lock))

    def app_state(self, session: Session, iq: Node) -> Node:
        """`w:sync:app:state`: every collection that is asked for is answered."""
        account = session.device.account
        collections: list[Node] = []
        for collection in iq.need("sync").children:
            answer = self._states.of(account).answer(collection)
            collections.append(answer.node)
            if answer.changed:
                for companion in account.companions:
                    if companion is not session.device:
                        child = Node(
                            "collection", {"name": answer.name, "version": str(answer.version)}
                        )
                        self._world.notify(companion, "server_sync", child=child)
        return result(iq, Node("sync", {}, tuple(collections)))

    def picture(self, session: Session, iq: Node) -> Node:
        """`w:profile:picture`: nobody has one."""
        return error(iq, 404, "item-not-found")

    def empty(self, session: Session, iq: Node) -> Node:
        """Namespaces that need no more than an empty answer."""
        return result(iq)
