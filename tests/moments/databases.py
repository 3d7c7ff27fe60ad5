"""Where a story's database comes from: every telling begins with an empty one of its own."""

import os
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import psycopg

from perene.store.database import Database
from tests.plugins.postgres import Postgres

_EMPTY: Final = "empty"


class Databases(Protocol):
    """Makes them, in several processes at once."""

    @property
    def template(self) -> Path:
        """An empty one, as a file of SQLite."""
        ...

    def fresh(self, name: str) -> AbstractContextManager[str | None]:
        """Have one until the block ends: its URL, or None for a copy of the template.

        The name is of letters, digits and "-"; no two of a process are alike.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Databases of SQLite."""

    template: Path

    @classmethod
    def make(cls, folder: Path) -> "Files":
        """Make an empty one to copy in a folder."""
        template = folder / f"{_EMPTY}.db"
        Database.open(f"sqlite:///{template}").close_now()
        return cls(template=template)

    def fresh(self, name: str) -> AbstractContextManager[str | None]:
        return nullcontext()


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Databases of a PostgreSQL server."""

    template: Path
    server: Postgres

    @classmethod
    def make(cls, folder: Path, server: Postgres) -> "Served":
        """Make an empty one to copy on a server."""
        served = cls(template=Files.make(folder).template, server=server)
        served._order(f"CREATE DATABASE {_EMPTY} TEMPLATE template0")
        Database.open(server.url(_EMPTY)).close_now()
        return served

    @contextmanager
    def fresh(self, name: str) -> Generator[str | None]:
        own = f"{name}_{os.getpid()}".replace("-", "_")
        self._order(f"CREATE DATABASE {own} TEMPLATE {_EMPTY}")
        try:
            yield self.server.url(own)
        finally:
            self._order(f"DROP DATABASE {own} WITH (FORCE)")

    def _order(self, command: str) -> None:
        with psycopg.connect(self.server.conninfo("postgres"), autocommit=True) as connection:
            connection.execute(command.encode())
