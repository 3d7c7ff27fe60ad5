"""Whether the database still has all that this process has committed to it.

A fail-over to a server that lagged behind, or a backup that is restored under a running service,
takes back commits. To send with what is left would use message keys a second time: see `renewal`.
Every commit that may have used one takes a number of the outbox, so that numbers that are given a
second time tell of it.
"""

from typing import Final

from sqlalchemy import Connection

from perene.core.errors import ForgottenEpoch

_KEY: Final = "perene.progress"


class Progress:
    """The newest number that is known to have been committed; only the writing thread sets it."""

    __slots__ = ("reached",)

    def __init__(self) -> None:
        self.reached = 0

    def attach(self, connection: Connection) -> None:
        """Have the transaction that begins on a connection looked at."""
        connection.info[_KEY] = self

    def require(self, kept: int) -> None:
        """Raise ForgottenEpoch if the database has numbers up to `kept` only, and had more."""
        if kept < self.reached:
            raise ForgottenEpoch(
                f"the database has gone back in time: its events reach to {kept} again, and"
                f" reached to {self.reached}"
            )

    def commit(self, reached: int) -> None:
        """Keep in mind that a transaction with numbers up to this one has been committed."""
        self.reached = max(self.reached, reached)


def progress_of(connection: Connection) -> Progress:
    """Return what the running `Database.write` knows."""
    found = connection.info[_KEY]
    assert isinstance(found, Progress)
    return found
