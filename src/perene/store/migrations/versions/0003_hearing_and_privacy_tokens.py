"""What sessions have learned of their traffic, and tokens that people gave them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two tables; nothing that exists changes."""
    op.create_table(
        "hearing",
        sa.Column("session", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("learned", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("session", name="pk_hearing"),
    )
    op.create_table(
        "privacy_tokens",
        sa.Column("session", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("given_at", sa.BigInteger(), nullable=True),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("session", "person", name="pk_privacy_tokens"),
    )
