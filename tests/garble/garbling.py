"""Stanzas that come out wrong: late, or a part is missing, said twice, or makes no sense.

It is not a lie: nothing well-formed is said in the place of something else, but for the numbers,
ids and kinds of other stanzas. What a server says on purpose is the subject of other tests.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from perene.wire.codec import decode, encode
from perene.wire.errors import WireError
from perene.wire.node import Node

_ODD: Final = (
    "",
    "0",
    "-1",
    "1",
    "1.5",
    "9" * 30,
    "9" * 5000,
    "true",
    "@",
    "@@",
    "@lid",
    "some one@s.whatsapp.net",
    "s.whatsapp.net",
    "\u00e9\u4e2d",
    "x" * 3000,
)
_BORROWED: Final = frozenset({"id", "type", "count", "t", "value", "index", "class", "v", "code"})
"""Attributes that may get the value that another stanza has for them."""
_KEPT: Final = frozenset({"failure", "stream:error", "conflict"})
"""Last words, which are the subject of the cause table's tests: only what they hold is spoilt."""
_REMEMBERED: Final = 40

Way = Callable[[Node], Node]


class Garbler:
    """Spoils one in so many stanzas, while it is `on`; its choices hang on the dice."""

    def __init__(self, dice: random.Random, *, share: float) -> None:
        self.on = False
        self.spoilt: list[tuple[Node, Sequence[Node]]] = []
        """What was to be said, and what was said in its place."""
        self._dice = dice
        self._share = share
        self._heard: dict[str, list[str]] = {}
        self._late: list[tuple[int, bytes]] = []
        """What is said later: after so many more stanzas."""

    def connected(self) -> None:
        """Begin a connection: what was not said on the one before is not said on this one."""
        self._late.clear()

    def encoded(self, payload: bytes) -> Sequence[bytes]:
        """Return what is sent in place of a stanza, in its wire form."""
        stanza = decode(payload)
        self._remember(stanza)
        due = [one for left, one in self._late if not left]
        self._late = [(left - 1, one) for left, one in self._late if left]
        is_on = self.on and self._dice.random() < self._share
        if is_on and self._dice.random() < 0.2 and stanza.tag not in _KEPT:
            self._late.append((self._dice.randrange(12), payload))
            return due
        said = self._said(stanza) if is_on else (stanza,)
        if said == (stanza,):
            return (*due, payload)
        self.spoilt.append((stanza, said))
        return (*due, *(encode(one) for one in said))

    def _said(self, stanza: Node) -> Sequence[Node]:
        if stanza.tag not in _KEPT:
            chance = self._dice.random()
            if chance < 0.05:
                return ()
            if chance < 0.1:
                return (stanza, stanza)
        spoilt = stanza
        for _ in range(self._dice.choice((1, 1, 1, 2, 4))):
            spoilt = self._somewhere(spoilt)
        return (spoilt,) if _can_be_sent(spoilt) else (stanza,)

    def _remember(self, node: Node) -> None:
        for name, value in node.attrs.items():
            if name in _BORROWED:
                heard = self._heard.setdefault(name, [])
                heard.append(value)
                del heard[:-_REMEMBERED]
        for child in node.children:
            self._remember(child)

    def _somewhere(self, node: Node) -> Node:
        """Spoil a node, or one that is in it."""
        if node.children and self._dice.random() < 0.7:
            at = self._dice.randrange(len(node.children))
            return self._with(node, at, (self._somewhere(node.children[at]),))
        ways: list[Way] = [self._contents]
        if node.tag not in _KEPT:
            ways.append(self._tag)
        if node.attrs:
            ways += [self._without_attr, self._odd_attr, self._odd_attr, self._borrowed_attr]
        if node.children:
            ways += [self._without_child, self._child_twice, self._shuffled]
        if node.data:
            ways += [self._bits, self._shorter]
        return self._dice.choice(ways)(node)

    # --- ways -------------------------------------------------------------------------------------

    def _tag(self, node: Node) -> Node:
        tag = self._dice.choice(("message", "receipt", "notification", "iq", "ack", "ib", "odd"))
        return Node(tag, node.attrs, node.content)

    def _without_attr(self, node: Node) -> Node:
        gone = self._dice.choice(sorted(node.attrs))
        return _of(node, {name: value for name, value in node.attrs.items() if name != gone})

    def _odd_attr(self, node: Node) -> Node:
        name = self._dice.choice(sorted(node.attrs))
        return _of(node, {**node.attrs, name: self._dice.choice(_ODD)})

    def _borrowed_attr(self, node: Node) -> Node:
        names = sorted(_BORROWED & node.attrs.keys())
        if not names:
            return self._odd_attr(node)
        name = self._dice.choice(names)
        return _of(node, {**node.attrs, name: self._dice.choice(self._heard[name])})

    def _contents(self, node: Node) -> Node:
        odd = (None, b"", b"\xff" * 7, bytes(40), "0", "\u00e9", (Node("odd"),))
        return Node(node.tag, node.attrs, self._dice.choice(odd))

    def _bits(self, node: Node) -> Node:
        data = bytearray(node.data)
        data[self._dice.randrange(len(data))] ^= 1 << self._dice.randrange(8)
        return Node(node.tag, node.attrs, bytes(data))

    def _shorter(self, node: Node) -> Node:
        return Node(node.tag, node.attrs, node.data[: self._dice.randrange(len(node.data))])

    def _without_child(self, node: Node) -> Node:
        return self._with(node, self._dice.randrange(len(node.children)), ())

    def _child_twice(self, node: Node) -> Node:
        at = self._dice.randrange(len(node.children))
        return self._with(node, at, (node.children[at],) * 2)

    def _shuffled(self, node: Node) -> Node:
        order = list(node.children)
        self._dice.shuffle(order)
        return Node(node.tag, node.attrs, tuple(order))

    def _with(self, node: Node, at: int, these: tuple[Node, ...]) -> Node:
        """Return a node with `these` in the place of a child."""
        children = node.children
        return Node(node.tag, node.attrs, (*children[:at], *these, *children[at + 1 :]))


def _of(node: Node, attrs: Mapping[str, str]) -> Node:
    return Node(node.tag, attrs, node.content)


def _can_be_sent(node: Node) -> bool:
    try:
        encode(node)
    except WireError:
        return False
    return True
