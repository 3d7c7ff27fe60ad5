"""Alembic's environment: migrates over the connection, and in the transaction, it is given."""

from alembic import context

from perene.store.migrations import VERSION_TABLE
from perene.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
context.run_migrations()
