"""Rows of many sessions by one of their columns, found with one statement.

A statement for each session would be as many round trips: a thousand sessions that start together,
and a database in another city, make minutes of that.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Table

from perene.store.bulk import in_values

Place = tuple[int, str]
"""A session's key, and what is looked for in it: an address, mostly."""


def rows_at(
    connection: Connection,
    table: Table,
    column: str,
    wanted: Sequence[str],
    places: Collection[Place],
    *,
    only: str = "true",
) -> Iterator[tuple[Any, ...]]:
    """Yield session, `column` and the wanted columns of each row that is at one of the places.

    `only` is a condition on the row, which is named `r`.
    """
    names = ", ".join(f"r.{name}" for name in ("session", column, *wanted))
    # A join, because SQLite searches no index for `(a, b) IN (VALUES …)`.
    for values, parameters in in_values(connection, list(places)):
        rows = connection.exec_driver_sql(
            f"SELECT {names} FROM {values} AS place"  # noqa: S608  # names of ours
            f" JOIN {table.name} AS r"
            f" ON r.session = place.column1 AND r.{column} = place.column2 WHERE {only}",
            parameters,
        )
        yield from map(tuple, rows)


def occupied(
    connection: Connection,
    table: Table,
    column: str,
    places: Collection[Place],
    *,
    only: str = "true",
) -> set[Place]:
    """Return the places at which there is a row; of `only` see `rows_at`."""
    found: set[Place] = set()
    for values, parameters in in_values(connection, list(places)):
        rows = connection.exec_driver_sql(
            f"SELECT place.column1, place.column2 FROM {values} AS place"  # noqa: S608  # as above
            f" WHERE EXISTS (SELECT 1 FROM {table.name} AS r WHERE r.session = place.column1"
            f" AND r.{column} = place.column2 AND {only})",
            parameters,
        )
        found.update((session, value) for session, value in rows)
    return found
