"""What the benchmark needs of a client, whoever made it."""

from collections.abc import Sequence
from typing import Protocol

from bench.usage import Memory


class Contestant(Protocol):
    """A client process with paired sessions, logged in to the simulator."""

    @property
    def phones(self) -> Sequence[str]:
        """The numbers of its sessions."""
        ...

    @property
    def pids(self) -> Sequence[int]:
        """The client's processes."""
        ...

    @property
    def server_pids(self) -> Sequence[int]:
        """Processes of a database server that work for it."""
        ...

    def received(self) -> int:
        """Return how many texts it has handed to its user so far; frees what it can of memory."""
        ...

    def memory(self) -> Memory:
        """Return the memory of the client's process."""
        ...
