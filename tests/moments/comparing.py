"""A story that was disturbed, compared with the same one that was not."""

from collections.abc import Mapping
from pathlib import Path

from tests.moments.databases import Databases
from tests.moments.outcome import Outcome
from tests.moments.stories import STORIES
from tests.moments.telling import tell
from tests.moments.troubles import Trouble


class Stories:
    """Tells stories, each with a database of its own, and a folder within one.

    The seed decides about the order of what may happen in any.
    """

    def __init__(self, folder: Path, databases: Databases, *, seed: int) -> None:
        self.seed = seed
        self._folder = folder
        self._databases = databases
        self._told = 0
        self._undisturbed: dict[str, Outcome] = {}

    async def undisturbed(self, name: str) -> Outcome:
        """Return how a story ends when nothing befalls it."""
        if name not in self._undisturbed:
            self._undisturbed[name] = await self._tell(name, {})
        return self._undisturbed[name]

    async def problems(self, name: str, troubles: Mapping[int, Trouble]) -> list[str]:
        """Return what is wrong at the end of a story with troubles, by the numbers of moments."""
        expected = await self.undisturbed(name)
        found = await self._tell(name, troubles)
        return [*expected.problems, *found.problems, *found.differs(expected)]

    async def _tell(self, name: str, troubles: Mapping[int, Trouble]) -> Outcome:
        self._told += 1
        folder = self._folder / f"{name}-{self._told}"
        return await tell(folder, self._databases, STORIES[name], troubles, seed=self.seed)
