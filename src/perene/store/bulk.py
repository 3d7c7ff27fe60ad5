"""Inserting many rows at the speed of the driver.

SQLAlchemy's own executemany handles every parameter of every row in Python; for a message that is
more than all of SQLite's work. Here a statement is compiled once per dialect. SQLite runs it with
many rows at a time; PostgreSQL receives one array per column and unnests them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Table, bindparam, column, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import psycopg

_ROWS_AWAY = 500
"""Rows in one statement of PostgreSQL, each a round trip; it takes 65,535 parameters."""

_ROWS = 50
"""Rows in one statement of SQLite. The driver lets other threads run at every statement, and gets
its turn back up to 5 ms later: row by row, a commit beside a busy event loop would take seconds."""

Upsert = sqlite.Insert | postgresql.Insert
Row = tuple[Any, ...]


def do_nothing(statement: Upsert) -> Upsert:
    """Leave an existing row as it is."""
    return statement.on_conflict_do_nothing()


def replacing(*columns: str, on: Sequence[str] = ()) -> Callable[[Upsert], Upsert]:
    """Return a clause that gives these columns of an existing row their new values.

    `on` names the columns by which a row is known, where they are not the primary key.
    """

    def clause(statement: Upsert) -> Upsert:
        keys = list(on) or [c.name for c in statement.table.primary_key]
        return statement.on_conflict_do_update(
            index_elements=keys, set_={name: statement.excluded[name] for name in columns}
        )

    return clause


class BulkInsert:
    """One INSERT … ON CONFLICT for rows given as tuples in the order of `columns`.

    The columns are named in the order of the table, which is the order of SQLite's parameters.

    `tell` names the columns of the conflict, for tables whose inserts are to be told apart from
    what existed before; such a table numbers its rows in `id`.
    """

    def __init__(
        self,
        table: Table,
        columns: Sequence[str],
        conflict: Callable[[Upsert], Upsert],
        *,
        tell: Sequence[str] = (),
    ) -> None:
        self._columns = tuple(columns)
        self._places = tuple(self._columns.index(name) for name in tell)
        one = sqlite.insert(table).values({name: bindparam(name) for name in columns})
        many = conflict(_unnested(table, self._columns))
        told = many.returning(*(table.c[name] for name in ("id", *tell))) if tell else many
        compiled = conflict(one).compile(dialect=sqlite.dialect())
        if compiled.positiontup != list(columns):
            raise ValueError(f"name the columns of {table.name} in their order")
        self._sqlite = str(compiled)
        self._sqlite_many = _for_rows(self._sqlite, len(columns), _ROWS)
        self._sqlite_told = f"{self._sqlite_many} RETURNING {', '.join(('id', *tell))}"
        # Binary parameters ("%b"): the text form of an array is escaped value by value, in Python.
        self._postgres = str(told.compile(dialect=psycopg.dialect())).replace(")s::", ")b::")

    def run(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Insert the rows in their order. PostgreSQL forbids to replace a row twice."""
        if not rows:
            return
        if connection.dialect.name == "sqlite":
            whole = len(rows) - len(rows) % _ROWS
            for start in range(0, whole, _ROWS):
                parameters = tuple(chain.from_iterable(rows[start : start + _ROWS]))
                connection.exec_driver_sql(self._sqlite_many, parameters)
            if rest := list(rows[whole:]):
                connection.exec_driver_sql(self._sqlite, rest)
        else:
            connection.exec_driver_sql(self._postgres, self._arrays(rows))

    def run_and_tell(self, connection: Connection, rows: Sequence[Row]) -> list[int | None]:
        """Insert the rows, and return for each its new id, or None if it existed before.

        No two of the rows may conflict with each other.
        """
        if not rows:
            return []
        if connection.dialect.name == "sqlite":
            whole = len(rows) - len(rows) % _ROWS
            told: list[int | None] = []
            for start in range(0, whole, _ROWS):
                part = rows[start : start + _ROWS]
                parameters = tuple(chain.from_iterable(part))
                told += self._told(connection.exec_driver_sql(self._sqlite_told, parameters), part)
            return told + self._run_one_by_one(connection, rows[whole:])
        found = connection.exec_driver_sql(self._postgres, self._arrays(rows))
        return self._told(found, rows)

    def _told(self, found: Iterable[Any], rows: Sequence[Row]) -> list[int | None]:
        new = {tuple(row[1:]): int(row[0]) for row in found}
        return [new.get(tuple(row[place] for place in self._places)) for row in rows]

    def _run_one_by_one(self, connection: Connection, rows: Sequence[Row]) -> list[int | None]:
        # The driver cannot say which rows an executemany inserted; a single execute can.
        cursor = connection.connection.cursor()
        try:
            new: list[int | None] = []
            for row in rows:
                cursor.execute(self._sqlite, row)
                new.append(cursor.lastrowid if cursor.rowcount == 1 else None)
            return new
        finally:
            cursor.close()

    def _arrays(self, rows: Sequence[Row]) -> dict[str, list[Any]]:
        columns = zip(*rows, strict=True)
        return {name: list(values) for name, values in zip(self._columns, columns, strict=True)}


def update_rows(
    connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Row]
) -> None:
    """Set columns of many rows, each known by the first of `columns`, which none names twice."""
    key, *changed = columns
    changes = ", ".join(f"{name} = new.column{place}" for place, name in enumerate(changed, 2))
    for values, parameters in in_values(connection, rows):
        connection.exec_driver_sql(
            f"UPDATE {table.name} SET {changes} FROM {values} AS new"  # noqa: S608  # names of ours
            f" WHERE {table.name}.{key} = new.column1",
            parameters,
        )


def in_values(connection: Connection, rows: Sequence[Row]) -> Iterator[tuple[str, Row]]:
    """Yield the rows as tables to write into statements, with the parameters of each.

    Their columns are named column1, column2 and so on, by both databases.
    """
    mark, most = ("?", _ROWS) if connection.dialect.name == "sqlite" else ("%s", _ROWS_AWAY)
    for start in range(0, len(rows), most):
        part = rows[start : start + most]
        row = f"({', '.join([mark] * len(part[0]))})"
        yield f"(VALUES {', '.join([row] * len(part))})", tuple(chain.from_iterable(part))


def _for_rows(statement: str, columns: int, rows: int) -> str:
    """Return an INSERT of one row as one of many."""
    row = f"({', '.join('?' * columns)})"
    before, found, after = statement.partition(row)
    if not found:
        raise ValueError(f"not an insert of one row: {statement}")
    return f"{before}{', '.join([row] * rows)}{after}"


def _unnested(table: Table, columns: Sequence[str]) -> postgresql.Insert:
    types = {name: table.c[name].type for name in columns}
    source = (
        func.unnest(*(bindparam(n, type_=postgresql.ARRAY(t)) for n, t in types.items()))
        .table_valued(*(column(n, t) for n, t in types.items()), name="new")
        .render_derived()
    )
    return postgresql.insert(table).from_select(
        list(columns), select(*(source.c[name] for name in columns)), include_defaults=False
    )
