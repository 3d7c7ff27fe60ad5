"""Who may ask."""

from typing import Protocol


class Keys(Protocol):
    """The API keys."""

    async def verify(self, key: str) -> str | None:
        """Return the name of the key's owner; None for an unknown key.

        The time taken tells nothing about how much of the key was right.
        """
        ...
