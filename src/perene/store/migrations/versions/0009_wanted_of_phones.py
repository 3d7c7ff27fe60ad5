"""Whether the account's phone is still to be asked for a message that could not be read."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column; for what was missing before, no phone is asked."""
    op.add_column("ledger", sa.Column("wants_phone", sa.SmallInteger(), nullable=True))
