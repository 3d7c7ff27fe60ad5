"""Who is in a group."""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from perene.core.clock import Clock
from perene.core.unit import AddressPair
from perene.engine.queries import Queries
from perene.engine.questions import Questions
from perene.engine.stanza import address_pairs
from perene.wire.jid import Jid
from perene.wire.node import Node

_FRESH = timedelta(minutes=30)
"""A change is announced by a `w:gp2` notification; this bounds what a missed one can cost."""

_CACHED = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group's members under the address form that the group uses ("lid" or "pn")."""

    members: tuple[Jid, ...]
    addressing_mode: str
    pairs: tuple[AddressPair, ...]
    at: datetime


class Groups:
    """The groups that one connection has asked about."""

    def __init__(self, queries: Queries, clock: Clock) -> None:
        self._queries = queries
        self._clock = clock
        self._groups: OrderedDict[str, Group] = OrderedDict()
        self._questions = Questions()

    def forget(self, group: Jid) -> None:
        """Ask again next time: the group has changed."""
        self._groups.pop(str(group), None)
        self._questions.forget(str(group))

    def forget_all(self) -> None:
        """Ask again next time for any group: some have changed, and nothing says which."""
        self._groups.clear()
        self._questions.forget_all()

    def is_current(self, jid: Jid, group: Group) -> bool:
        """Tell whether nothing was heard of the group since it was asked for."""
        return self._groups.get(str(jid)) is group

    async def get(self, jid: Jid) -> Group:
        """Return a group. Raises QueryFailed (404, 403: not a member), QueryTimedOut."""
        known = self._groups.get(str(jid))
        if known is not None and abs(self._clock.now() - known.at) < _FRESH:
            return known
        with self._questions.asking([str(jid)]) as is_last_word:
            group = await self._ask(jid)
            if is_last_word(str(jid)):
                self._groups[str(jid)] = group
        while len(self._groups) > _CACHED:
            self._groups.popitem(last=False)
        return group

    async def _ask(self, jid: Jid) -> Group:
        query = Node("query", {"request": "interactive"})
        answer = await self._queries.ask("w:g2", "get", query, to=str(jid))
        node = answer.need("group")
        members: list[Jid] = []
        pairs: list[AddressPair] = []
        for child in node.children:
            if child.tag != "participant":
                continue
            member = Jid.parse(child.attr("jid")).bare
            members.append(member)
            other = child.attrs.get("phone_number") or child.attrs.get("lid")
            pairs += address_pairs(member, other)
        return Group(
            members=tuple(members),
            addressing_mode=node.attrs.get("addressing_mode", "pn"),
            pairs=tuple(pairs),
            at=self._clock.now(),
        )
