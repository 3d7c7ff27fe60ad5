"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create every table."""
    _sessions()
    _signal()
    _conversations()
    _messages()
    _inbound()
    _outbox()


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("key", _ROW_ID, autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("desired", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("pn", sa.Text(), nullable=True),
        sa.Column("lid", sa.Text(), nullable=True),
        sa.Column("push_name", sa.Text(), nullable=True),
        sa.Column("platform", sa.Text(), nullable=True),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("proxy_sealed", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("key", name="pk_sessions"),
        sa.UniqueConstraint("id", name="uq_sessions_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "keyring",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_keyring"),
    )
    op.create_table(
        "data_keys",
        sa.Column("session", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session"], ["sessions.key"], name="fk_data_keys_session", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("session", "generation", name="pk_data_keys"),
    )
    op.create_table(
        "credentials",
        sa.Column("session", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session"], ["sessions.key"], name="fk_credentials_session", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("session", name="pk_credentials"),
    )
    op.create_table(
        "archived_credentials",
        sa.Column("id", _ROW_ID, autoincrement=True, nullable=False),
        sa.Column("session", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session"],
            ["sessions.key"],
            name="fk_archived_credentials_session",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_archived_credentials"),
    )
    op.create_index(
        "ix_archived_credentials_session", "archived_credentials", ["session"], unique=False
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("hash", name="uq_api_keys_hash"),
    )


def _signal() -> None:
    op.create_table(
        "ratchets",
        sa.Column("session", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("device", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("session", "name", "device", name="pk_ratchets"),
    )
    op.create_table(
        "sender_keys",
        sa.Column("session", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("device", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("group", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("session", "name", "device", "group", name="pk_sender_keys"),
    )
    op.create_table(
        "sender_key_holders",
        sa.Column("session", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("group", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("session", "group", "address", name="pk_sender_key_holders"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "pre_keys",
        sa.Column("session", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("uploaded", sa.SmallInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("session", "id", name="pk_pre_keys"),
        sqlite_with_rowid=False,
    )


def _conversations() -> None:
    op.create_table(
        "address_map",
        sa.Column("session", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("pn", sa.Text(), nullable=False),
        sa.Column("lid", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("session", "pn", name="pk_address_map"),
        sa.UniqueConstraint("session", "lid", name="uq_address_map_session_lid"),
    )
    op.create_table(
        "conversations",
        sa.Column("id", _ROW_ID, autoincrement=True, nullable=False),
        sa.Column("session", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("chat", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_conversations"),
        sa.UniqueConstraint("session", "chat", name="uq_conversations_session_chat"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "conversation_addresses",
        sa.Column("session", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("conversation", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation"],
            ["conversations.id"],
            name="fk_conversation_addresses_conversation",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("session", "address", name="pk_conversation_addresses"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_conversation_addresses_conversation",
        "conversation_addresses",
        ["conversation"],
        unique=False,
    )


def _messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", _ROW_ID, autoincrement=True, nullable=False),
        sa.Column("session", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("conversation", sa.BigInteger(), nullable=False),
        sa.Column("from_me", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("status_at", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("push_name", sa.Text(), nullable=True),
        sa.Column("sender_device", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_messages"),
        sa.UniqueConstraint(
            "session",
            "sender",
            "external_id",
            "conversation",
            "from_me",
            name="uq_messages_session_sender_external_id_conversation_from_me",
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_messages_conversation_id", "messages", ["conversation", "id"], unique=False)
    op.create_index(
        "ix_messages_queued",
        "messages",
        ["session", "status", "id"],
        unique=False,
        sqlite_where=sa.text("status = 'queued'"),
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.create_index(
        "ix_messages_session_external_id", "messages", ["session", "external_id"], unique=False
    )
    op.create_index("ix_messages_session_id", "messages", ["session", "id"], unique=False)
    op.create_table(
        "idempotency_keys",
        sa.Column("session", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("session", "key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_at", "idempotency_keys", ["at"], unique=False)


def _inbound() -> None:
    op.create_table(
        "ledger",
        sa.Column("session", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("chat", sa.Text(), nullable=False),
        sa.Column("from_me", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("fate", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("retries", sa.Integer(), nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "session", "sender", "external_id", "chat", "from_me", name="pk_ledger"
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_ledger_open",
        "ledger",
        ["session", "first_seen"],
        unique=False,
        sqlite_where=sa.text("fate IN ('pending', 'lost')"),
        postgresql_where=sa.text("fate IN ('pending', 'lost')"),
    )
    op.create_index(
        "ix_ledger_own_chat",
        "ledger",
        ["session", "chat"],
        unique=False,
        sqlite_where=sa.text("from_me = 1"),
        postgresql_where=sa.text("from_me = 1"),
    )
    op.create_table(
        "ciphertexts",
        sa.Column("id", _ROW_ID, autoincrement=True, nullable=False),
        sa.Column("session", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ciphertexts"),
        sa.UniqueConstraint("session", "hash", name="uq_ciphertexts_session_hash"),
    )
    op.create_table(
        "peer_messages",
        sa.Column("session", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("session", "id", name="pk_peer_messages"),
    )


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("seq", _ROW_ID, autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("session", sa.Text(), nullable=True),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_outbox"),
        sa.UniqueConstraint("id", name="uq_outbox_id"),
    )
    op.create_index("ix_outbox_session_seq", "outbox", ["session", "seq"], unique=False)
    op.create_table(
        "counters",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counters"),
    )
