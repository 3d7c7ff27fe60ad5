"""Who may ask."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whose key a request shows; `id` is that of the key."""

    id: str
    name: str


class Keys(Protocol):
    """The API keys."""

    async def verify(self, key: str) -> Caller | None:
        """Return whose key this is; None for an unknown key.

        The time taken tells nothing about how much of the key was right.
        """
        ...

    async def recognise(self, key: str) -> Caller | None:
        """Do what `verify` does, also without a database: a key that it knew not long ago passes.

        It is asked all the same, and only if it gives no answer, memory counts. For what is told
        from memory and changes nothing. Raises StorageUnavailable for a key that is not remembered.
        """
        ...

    async def revoked(self, key_id: str) -> None:
        """Return when a key that was verified is known to be revoked; for what lasts long."""
        ...
