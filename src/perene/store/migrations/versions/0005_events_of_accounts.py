"""What an account has been told is found among millions of events."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add an index; nothing else of what is stored changes."""
    of_accounts = sa.text(
        "type IN ('session.limited', 'session.limit_lifted', 'session.deleted', 'session.banned',"
        " 'session.connected')"
    )
    op.create_index(
        "ix_outbox_account",
        "outbox",
        ["session", "seq", "type"],
        sqlite_where=of_accounts,
        postgresql_where=of_accounts,
    )
