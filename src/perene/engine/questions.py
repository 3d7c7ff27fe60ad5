"""Which answers of the server may be remembered: not those that are older than the latest news."""

from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager


class Questions:
    """What the server is being asked for, by names.

    Who is told meanwhile that something has changed calls `forget`: the answer that is on its way
    may tell of the time before.
    """

    def __init__(self) -> None:
        self._newest: dict[str, object] = {}

    def forget(self, name: str) -> None:
        """Let no answer that is awaited now be the last word about a name."""
        self._newest.pop(name, None)

    def forget_all(self) -> None:
        """Let none be the last word about any."""
        self._newest.clear()

    @contextmanager
    def asking(self, names: Collection[str]) -> Generator[Callable[[str], bool]]:
        """Ask for these within the block; it is given what tells whether the answer is the last
        word about one: nobody has asked again since, and nothing was forgotten."""
        question = object()
        self._newest.update(dict.fromkeys(names, question))
        try:
            yield lambda name: self._newest.get(name) is question
        finally:
            for name in names:
                if self._newest.get(name) is question:
                    del self._newest[name]
