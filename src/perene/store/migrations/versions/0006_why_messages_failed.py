"""Why a message of ours failed."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column; of messages that failed before, nobody is told why."""
    op.add_column("messages", sa.Column("failure", sa.Text(), nullable=True))
