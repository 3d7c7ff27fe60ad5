"""The client version that each endpoint asked for last."""

from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from perene.store.moments import micros, moment
from perene.store.schema import client_versions
from perene.store.texts import indexable, storable


def read_client_version(connection: Connection, endpoint: str) -> tuple[str, datetime] | None:
    """Return an endpoint's version ("a.b.c") and when it was found, None when none was."""
    table = client_versions.c
    row = connection.execute(
        select(table.version, table.found_at).where(table.endpoint == indexable(endpoint))
    ).first()
    return None if row is None else (row.version, moment(row.found_at))


def write_client_version(
    connection: Connection, endpoint: str, version: str, now: datetime
) -> None:
    """Store the version that an endpoint asks for, over the earlier one."""
    values = {"version": storable(version), "found_at": micros(now)}
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(
        dialect.insert(client_versions)
        .values(endpoint=indexable(endpoint), **values)
        .on_conflict_do_update(index_elements=["endpoint"], set_=values)
    )
