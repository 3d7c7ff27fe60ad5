"""Whether what a client does on one connection to PostgreSQL stays with that connection.

A pooler that pools by transaction gives every transaction whichever of the server's connections is
free. What belongs to a connection is then nobody's in particular: the lock of the database, time
limits, prepared statements. Nothing tells a client which pooler it talks to; but a mark that it
leaves on its connection is then found by others, or not by itself.
"""

from typing import Final

from sqlalchemy import Connection, Engine, text

from perene.store.errors import PooledByTransaction

_MARK = text("SELECT set_config('perene.mark', :mark, false)")
_SEEN = text("SELECT current_setting('perene.mark', true)")

_ROUNDS: Final = 3
"""One finds out a pooler that gives what was used last, or first; further ones are for chance."""


def leave_mark(connection: Connection, mark: str) -> None:
    """Mark the server's end of a connection for as long as it lives: `perene.mark` is its name."""
    connection.execute(_MARK, {"mark": mark})


def refuse_pooling_by_transaction(connection: Connection, engine: Engine, mark: str) -> None:
    """Raise PooledByTransaction if `connection`, outside of a transaction, is not one of its own.

    `engine` makes another one to the same address, for a moment. Leaves the mark.
    """
    leave_mark(connection, mark)
    with engine.connect().execution_options(isolation_level="READ COMMITTED") as other:
        if any(_is_shared(connection, other, mark) for _ in range(_ROUNDS)):
            raise PooledByTransaction(
                "A pooler before the database gives each transaction another of the server's"
                " connections, so that nobody can hold the database."
            )


def _is_shared(connection: Connection, other: Connection, mark: str) -> bool:
    with other.begin():
        if other.execute(_SEEN).scalar_one() == mark:
            return True
        # While the other one has a transaction open, and keeps what it was given,
        meanwhile = connection.execute(_SEEN).scalar_one()
    # when it has just given that back, and once more, for those that are given in turn.
    afterwards = [connection.execute(_SEEN).scalar_one() for _ in range(2)]
    return any(seen != mark for seen in (meanwhile, *afterwards))
