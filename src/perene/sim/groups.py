"""Groups: who is in them, in which addressing, and what changes are announced."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from perene.sim.model import Account, Addressing
from perene.wire.jid import GROUP_SERVER, Jid
from perene.wire.node import Node


@dataclass(slots=True, kw_only=True, eq=False)
class Group:
    """One group; `roles` maps each participant's account to "", "admin" or "superadmin"."""

    id: str
    subject: str
    creator: Account
    created: int
    addressing: Addressing = "lid"
    roles: dict[Account, str] = field(default_factory=dict[Account, str])
    description: str = ""
    description_id: str = ""
    flags: set[str] = field(default_factory=set[str])
    """Settings that are present or not: announcement, locked, …"""
    expiration: int = 0

    @property
    def jid(self) -> str:
        """The group's address."""
        return str(Jid(self.id, GROUP_SERVER))

    def participant(self, account: Account) -> Node:
        """Return a `<participant>` with both forms of the address."""
        attrs = {"jid": str(account.jid(self.addressing))}
        if self.addressing == "lid":
            attrs["phone_number"] = str(account.jid("pn"))
        else:
            attrs["lid"] = str(account.jid("lid"))
        role = self.roles.get(account, "")
        return Node("participant", attrs | {"type": role} if role else attrs)

    def node(self) -> Node:
        """Return the `<group>` that describes it (docs/reference/protocol.md §7.3 row o)."""
        attrs = {
            "id": self.id,
            "subject": self.subject,
            "s_t": str(self.created),
            "s_o": str(self.creator.jid(self.addressing)),
            "creation": str(self.created),
            "creator": str(self.creator.jid(self.addressing)),
            "addressing_mode": self.addressing,
            "size": str(len(self.roles)),
        }
        if self.addressing == "lid":
            attrs |= {
                "s_o_pn": str(self.creator.jid("pn")),
                "creator_pn": str(self.creator.jid("pn")),
            }
        children = [self.participant(account) for account in self.roles]
        children += [Node(flag) for flag in sorted(self.flags)]
        if self.expiration:
            children.append(Node("ephemeral", {"expiration": str(self.expiration)}))
        if self.description:
            body = Node("body", {}, self.description.encode())
            about = {"id": self.description_id, "t": str(self.created)}
            children.append(Node("description", about, (body,)))
        return Node("group", attrs, tuple(children))


class Groups:
    """All groups."""

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}
        self._last = 0

    def create(self, subject: str, creator: Account, members: list[Account], *, now: int) -> Group:
        """Make a group; its creator is superadmin, whoever else is given is a member."""
        self._last += 1
        group = Group(id=f"1203630{self._last:011d}", subject=subject, creator=creator, created=now)
        group.roles[creator] = "superadmin"
        for account in members:
            group.roles.setdefault(account, "")
        self._groups[group.id] = group
        return group

    def find(self, jid: str) -> Group | None:
        """Return the group with this address, or this user part of one."""
        return self._groups.get(jid.partition("@")[0])

    def of(self, account: Account) -> list[Group]:
        """Return the groups somebody is in."""
        return [group for group in self._groups.values() if account in group.roles]

    def __iter__(self) -> Iterator[Group]:
        return iter(self._groups.values())
