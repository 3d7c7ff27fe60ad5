"""How each connection of an outage ended."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column; of outages before, only the first and the last loss are known."""
    op.add_column("outages", sa.Column("losses", sa.Text(), nullable=False, server_default="[]"))
