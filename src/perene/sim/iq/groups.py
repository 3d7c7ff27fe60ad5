"""`w:g2`: groups.

docs/reference/protocol.md §7.3, rows o and p; Baileys `lib/Socket/groups.js` rc14.
"""

from collections.abc import Iterable

from perene.sim.groups import Group
from perene.sim.iq.reply import error, result
from perene.sim.model import Account, Addressing
from perene.sim.session import Session
from perene.sim.world import World
from perene.wire.node import Node

_SETTINGS = {
    "announcement": True,
    "not_announcement": False,
    "locked": True,
    "unlocked": False,
    "membership_approval_mode": True,
}
_FLAG = {"not_announcement": "announcement", "unlocked": "locked"}
_ROLES = {"promote": "admin", "demote": ""}


class GroupService:
    """Creates and changes groups, for clients and for the admin API, and announces it."""

    def __init__(self, world: World) -> None:
        self._world = world

    # --- queries ----------------------------------------------------------------------------------

    def answer(self, session: Session, iq: Node) -> Node | None:
        """Answer a query about groups, or carry out a change."""
        account = session.device.account
        step = iq.children[0] if iq.children else Node("none")
        if step.tag == "create":
            members = self._accounts(step.children)
            group = self.create(
                step.attrs.get("subject", ""), account, members, key=step.attrs.get("key")
            )
            return result(iq, group.node())
        if step.tag == "participating":
            groups = tuple(group.node() for group in self._world.groups.of(account))
            return result(iq, Node("groups", {}, groups))
        if step.tag == "leave":
            return self._leave(account, iq, step)
        group = self._world.groups.find(iq.attrs.get("to", ""))
        if group is None:
            return error(iq, 404, "item-not-found")
        if account not in group.roles:
            return error(iq, 403, "forbidden")
        if step.tag in ("query", "none"):
            return result(iq, group.node())
        return self._change(account, group, iq, step)

    def _change(self, account: Account, group: Group, iq: Node, step: Node) -> Node:
        if step.tag in ("add", "remove", "promote", "demote"):
            affected = self._accounts(step.children)
            self.change_participants(group, step.tag, affected, by=account)
            done = tuple(
                Node("participant", {"jid": str(found.jid(group.addressing))}) for found in affected
            )
            return result(iq, Node(step.tag, {}, done))
        if step.tag == "subject":
            self.set_subject(group, step.data.decode(errors="replace"), by=account)
        elif step.tag == "description":
            body = step.child("body")
            group.description = body.data.decode(errors="replace") if body else ""
            group.description_id = step.attrs.get("id", "")
            self._announce(group, step, by=account)
        elif step.tag in ("ephemeral", "not_ephemeral"):
            group.expiration = int(step.attrs.get("expiration", "0"))
            self._announce(group, step, by=account)
        elif step.tag in _SETTINGS:
            flag = _FLAG.get(step.tag, step.tag)
            (group.flags.add if _SETTINGS[step.tag] else group.flags.discard)(flag)
            self._announce(group, step, by=account)
        elif step.tag == "invite":
            return result(iq, Node("invite", {"code": f"sim{group.id}"}))
        else:
            self._world.evidence.unknown_iqs[f"w:g2 {step.tag}"] += 1
        return result(iq)

    def _leave(self, account: Account, iq: Node, step: Node) -> Node:
        left: list[Node] = []
        for child in step.children:
            group = self._world.groups.find(child.attrs.get("id", ""))
            if group is not None and account in group.roles:
                self.change_participants(group, "remove", [account], by=account)
                left.append(Node("group", {"id": group.jid}))
        return result(iq, Node("leave", {}, tuple(left)))

    def _accounts(self, participants: Iterable[Node]) -> list[Account]:
        found = [
            self._world.directory.find_text(node.attrs.get("jid", "")) for node in participants
        ]
        return [account for account in found if account is not None]

    # --- changes ----------------------------------------------------------------------------------

    def create(
        self,
        subject: str,
        creator: Account,
        members: list[Account],
        *,
        key: str | None = None,
        addressing: Addressing = "lid",
    ) -> Group:
        """Make a group and tell everybody in it."""
        now = int(self._world.now().timestamp())
        group = self._world.groups.create(subject, creator, members, now=now)
        group.addressing = addressing
        attrs = {"type": "new", "key": key} if key else {"type": "new"}
        self._announce(group, Node("create", attrs, (group.node(),)), by=creator)
        return group

    def change_participants(
        self, group: Group, change: str, accounts: list[Account], *, by: Account
    ) -> None:
        """Add, remove, promote or demote people, and tell everybody concerned."""
        before = list(group.roles)
        for account in accounts:
            if change == "add":
                group.roles.setdefault(account, "")
            elif change == "remove":
                group.roles.pop(account, None)
            elif account in group.roles:
                group.roles[account] = _ROLES[change]
        children = tuple(group.participant(account) for account in accounts)
        node = Node(change, {}, children)
        newcomers = [account for account in accounts if change == "add" and account not in before]
        self._announce(group, node, by=by, audience=before)
        if newcomers:
            welcome = Node("create", {"type": "new", "reason": "invite"}, (group.node(),))
            self._announce(group, welcome, by=by, audience=newcomers)

    def set_subject(self, group: Group, subject: str, *, by: Account) -> None:
        """Rename a group and tell everybody in it."""
        group.subject = subject
        attrs = {
            "subject": subject,
            "s_t": self._world.unix,
            "s_o": str(by.jid(group.addressing)),
        }
        self._announce(group, Node("subject", attrs), by=by)

    def _announce(
        self, group: Group, child: Node, *, by: Account, audience: list[Account] | None = None
    ) -> None:
        other = "pn" if group.addressing == "lid" else "lid"
        more = {
            "participant": str(by.jid(group.addressing)),
            f"participant_{other}": str(by.jid(other)),
            "addressing_mode": group.addressing,
        }
        if by.name:
            more["notify"] = by.name
        for account in audience if audience is not None else list(group.roles):
            for companion in account.companions:
                self._world.notify(companion, "w:gp2", group.jid, child=child, more=more)
