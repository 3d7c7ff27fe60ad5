"""`usync`: who has which devices and which LID.

docs/reference/protocol.md §4.2, §7.3 rows l and m.
"""

from perene.sim.adv import key_index_list
from perene.sim.iq.reply import result
from perene.sim.model import Account
from perene.sim.people import People
from perene.sim.session import Session
from perene.sim.world import World
from perene.wire.jid import PN_SERVER, Jid
from perene.wire.node import Node


class UserSync:
    """Answers for each user, with each protocol that was asked for."""

    def __init__(self, world: World, people: People) -> None:
        self._world = world
        self._people = people

    def answer(self, session: Session, iq: Node) -> Node | None:
        """Answer a query about users."""
        usync = iq.need("usync")
        wanted = [child.tag for child in usync.need("query").children]
        users: list[Node] = []
        for user in usync.need("list").children:
            answer = self._user(session.device.account, user, wanted)
            if answer is not None:
                users.append(answer)
        attrs = {
            name: value
            for name in ("context", "index", "last", "mode", "sid")
            if (value := usync.attrs.get(name))
        }
        done = Node("result", {}, tuple(Node(tag) for tag in wanted))
        return result(iq, Node("usync", attrs, (done, Node("list", {}, tuple(users)))))

    def _user(self, asker: Account, user: Node, wanted: list[str]) -> Node | None:
        asked = user.attrs.get("jid")
        contact = user.child("contact")
        if asked is None and contact is not None:
            digits = contact.data.decode(errors="replace").lstrip("+").partition("@")[0]
            asked = str(Jid(digits, PN_SERVER))
        if asked is None:
            return None
        jid = Jid.parse(asked).bare
        account = self._world.directory.find(jid)
        if account is None and self._world.settings.auto_contacts and jid.is_pn:
            account = self._people.get_or_add(jid.user).account
        if account is None:
            nobody = [Node("contact", {"type": "out"})] if "contact" in wanted else []
            return Node("user", {"jid": str(jid)}, tuple(nobody))
        if account is not asker:
            account.acquainted.add(asker.lid)
        answers = [answer for tag in wanted if (answer := self._answer(account, jid, tag))]
        return Node("user", {"jid": str(jid)}, tuple(answers))

    def _answer(self, account: Account, asked: Jid, tag: str) -> Node | None:
        match tag:
            case "devices":
                return self._devices(account)
            case "lid":
                # Asked by LID there is nothing to tell; Baileys would store the LID as a number.
                lid = {"val": str(account.jid("lid"))}
                return Node("lid", lid) if asked.is_pn else None
            case "contact":
                return Node("contact", {"type": "in"})
            case "status":
                return Node("status", {"t": "0"}, b"")
            case _:
                return None

    def _devices(self, account: Account) -> Node:
        devices = tuple(
            Node("device", {"id": str(device.id), "key-index": str(device.key_index)})
            if device.id
            else Node("device", {"id": "0"})
            for device in account.devices.values()
        )
        index = key_index_list(account, self._world.unix)
        return Node("devices", {}, (Node("device-list", {}, devices), index))
