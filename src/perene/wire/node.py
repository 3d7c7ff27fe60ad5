"""The unit of conversation with the server: a tag, attributes, and bytes or children."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from perene.wire.errors import MissingAttribute, MissingChild


@dataclass(frozen=True, slots=True, repr=False)
class Node:
    """One stanza, or a part of one.

    Attribute values are text; addresses too (the codec knows them by their `@`). Content is either
    bytes, or text, or children. Text that is no token, number or address comes back from the wire
    as bytes, so readers use `data`.
    """

    tag: str
    attrs: Mapping[str, str] = field(default_factory=dict[str, str])
    content: "bytes | str | tuple[Node, ...] | None" = None

    @property
    def children(self) -> "tuple[Node, ...]":
        """The children; none if the content is something else."""
        content = self.content
        return content if isinstance(content, tuple) else ()

    @property
    def data(self) -> bytes:
        """The content as bytes (text as UTF-8); empty if there is none, or children."""
        content = self.content
        if isinstance(content, bytes):
            return content
        return content.encode() if isinstance(content, str) else b""

    def child(self, tag: str) -> "Node | None":
        """Return the first child of that tag, or None."""
        for child in self.children:
            if child.tag == tag:
                return child
        return None

    def need(self, tag: str) -> "Node":
        """Return the first child of that tag; raises MissingChild, a NodeError."""
        child = self.child(tag)
        if child is None:
            raise MissingChild(f"<{self.tag}> has no <{tag}>")
        return child

    def attr(self, name: str) -> str:
        """Return an attribute; raises MissingAttribute, a NodeError. Use `attrs.get` otherwise."""
        value = self.attrs.get(name)
        if value is None:
            raise MissingAttribute(f"<{self.tag}> has no {name!r}")
        return value

    def __repr__(self) -> str:
        # Attribute values are phone numbers and content is messages: neither may reach a log.
        content = self.content
        if isinstance(content, tuple):
            inside = f" {list(content)!r}"
        else:
            inside = "" if content is None else f" +{len(content)}"
        return f"<{' '.join((self.tag, *self.attrs))}{inside}>"
