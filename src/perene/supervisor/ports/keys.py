"""Who may ask."""

from typing import Protocol


class Keys(Protocol):
    """The API keys."""

    async def verify(self, key: str) -> str | None:
        """Return the name of the key's owner; None for an unknown key.

        The time taken tells nothing about how much of the key was right.
        """
        ...

    async def recognise(self, key: str) -> str | None:
        """Do what `verify` does, also without a database: a key that it knew not long ago passes.

        It is asked all the same, and only if it gives no answer, memory counts. For what is told
        from memory and changes nothing. Raises StorageUnavailable for a key that is not remembered.
        """
        ...
