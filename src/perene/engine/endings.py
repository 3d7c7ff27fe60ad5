"""The server's last words, read into the evidence that `core.causes` classifies."""

from collections.abc import Iterator
from typing import cast

from perene.core.causes import Ending, Kind, Local
from perene.core.errors import StaleEpoch, StorageError, UnreadableState
from perene.engine.errors import ConnectionEnded
from perene.wire.errors import WireError
from perene.wire.node import Node


def failure(node: Node) -> ConnectionEnded:
    """Read a `<failure>` (docs/reference/protocol.md §1.4)."""
    code = node.attrs.get("reason", "")
    return ConnectionEnded(
        Ending(
            kind=Kind.FAILURE,
            code=code,
            sentence=f"WhatsApp refused the login (reason {code or 'not given'}).",
            attributes=dict(node.attrs),
        )
    )


def stream_error(node: Node) -> ConnectionEnded:
    """Read a `<stream:error>` (docs/reference/protocol.md §2).

    One without a code names its reason by a child, which is then taken for the code. What the
    children say, the conflict included, is among the attributes.
    """
    code = node.attrs.get("code", "")
    conflict = node.child("conflict")
    kind = conflict.attrs.get("type", "unknown") if conflict is not None else ""
    children = ", ".join(child.tag for child in node.children) or "no detail"
    reason = None if code or conflict is not None else next(iter(node.children), None)
    more = {
        f"{child.tag}_{name}": value
        for child in node.children
        for name, value in child.attrs.items()
    }
    return ConnectionEnded(
        Ending(
            kind=Kind.STREAM_ERROR,
            code=reason.tag if reason is not None else code,
            conflict=kind,
            sentence=f"WhatsApp ended the stream (code {code or 'none'}, {children}).",
            attributes=dict(node.attrs) | more,
        )
    )


def stream_end() -> ConnectionEnded:
    """Build the ending of a stream that the server closed in order."""
    return ConnectionEnded(Ending(kind=Kind.STREAM_END, sentence="WhatsApp closed the stream."))


def local(code: Local, sentence: str) -> ConnectionEnded:
    """Build an ending that was noticed on this side."""
    return ConnectionEnded(Ending(kind=Kind.LOCAL, code=code, sentence=sentence))


def ending_of(error: BaseException) -> Ending | None:
    """Return the ending that an error or a group of errors stands for, None for a bug.

    Of several, what the server said comes before what was noticed here: a socket that closes
    right behind a `<stream:error>` is its consequence.
    """
    endings = [ending for leaf in _leaves(error) if (ending := _of_leaf(leaf)) is not None]
    if not endings or any(_of_leaf(leaf) is None for leaf in _leaves(error)):
        return None
    return min(endings, key=lambda ending: ending.kind is Kind.LOCAL)


def _of_leaf(error: BaseException) -> Ending | None:
    match error:
        case ConnectionEnded():
            return error.ending
        case UnreadableState():
            return Ending(kind=Kind.LOCAL, code=Local.UNREADABLE_STATE, sentence=str(error))
        case StaleEpoch():
            return Ending(kind=Kind.LOCAL, code=Local.STALE_EPOCH, sentence=str(error))
        case StorageError():
            return Ending(kind=Kind.LOCAL, code=Local.STORAGE, sentence=str(error))
        case WireError():
            return Ending(
                kind=Kind.LOCAL,
                code=Local.MALFORMED,
                sentence=f"A stanza of the server made no sense: {error}",
            )
        case _:
            return None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _leaves(inner)
    else:
        yield error
