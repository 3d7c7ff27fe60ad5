"""The tables. Migrations build them; a test compares the two.

Common to all: `session` is the small integer key of a session, not its id, because it is repeated
in every row and index. Instants are microseconds (see `moments`). Columns named `sealed` hold what
`sealing` made. The tables that grow with every message have no foreign keys: each insert into them
happens under the lock of its session's row, which is a stronger check than the one a foreign key
would repeat for every row.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# SQLite numbers rows by itself only in a column declared exactly INTEGER.
_RowId = BigInteger().with_variant(Integer, "sqlite")


def _session(*, primary_key: bool = True) -> Column[int]:
    return Column(
        "session", BigInteger, primary_key=primary_key, nullable=False, autoincrement=False
    )


def _owned_session() -> Column[int]:
    return Column(
        "session",
        BigInteger,
        ForeignKey("sessions.key", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )


sessions = Table(
    "sessions",
    metadata,
    Column("key", _RowId, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("name", Text),
    Column("desired", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("pn", Text),
    Column("lid", Text),
    Column("push_name", Text),
    Column("platform", Text),
    Column("options", Text, nullable=False),
    Column("proxy_sealed", LargeBinary),
    Column("standing", Text),
    # Never reuse the key of a deleted session: caches and late units know sessions by it.
    sqlite_autoincrement=True,
)
"""One row per linked device. `epoch` fences its owner. A proxy's address can hold a password.
`standing` is what a run must know of how earlier connections ended."""

keyring = Table(
    "keyring",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("sealed", LargeBinary, nullable=False),
)
"""One row: a constant sealed with the master key, to recognise a wrong one."""

data_keys = Table(
    "data_keys",
    metadata,
    _owned_session(),
    Column("generation", SmallInteger, primary_key=True, autoincrement=False),
    Column("sealed", LargeBinary, nullable=False),
)
"""Each session's data keys, wrapped by the master key."""

credentials = Table(
    "credentials",
    metadata,
    _owned_session(),
    Column("sealed", LargeBinary, nullable=False),
)

archived_credentials = Table(
    "archived_credentials",
    metadata,
    Column("id", _RowId, primary_key=True, autoincrement=True),
    Column(
        "session",
        BigInteger,
        ForeignKey("sessions.key", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("at", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
"""Credentials that WhatsApp has unlinked, kept for whoever asks what happened."""

ratchets = Table(
    "ratchets",
    metadata,
    _session(),
    Column("name", Text, primary_key=True),
    Column("device", Integer, primary_key=True, autoincrement=False),
    Column("sealed", LargeBinary, nullable=False),
)

sender_keys = Table(
    "sender_keys",
    metadata,
    _session(),
    # The name leads: "every sender key of this person" is asked for, "of this group" is not.
    Column("name", Text, primary_key=True),
    Column("device", Integer, primary_key=True, autoincrement=False),
    Column("group", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

sender_key_holders = Table(
    "sender_key_holders",
    metadata,
    _session(),
    Column("group", Text, primary_key=True),
    Column("address", Text, primary_key=True),
    sqlite_with_rowid=False,
)
"""The devices that hold our own sender key of a group."""

pre_keys = Table(
    "pre_keys",
    metadata,
    _session(),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("uploaded", SmallInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
"""One-time pre-keys that nobody has used yet."""

address_map = Table(
    "address_map",
    metadata,
    _session(),
    Column("pn", Text, primary_key=True),
    Column("lid", Text, nullable=False),
    UniqueConstraint("session", "lid"),
)
"""One person's two addresses; the LID is the canonical one."""

conversations = Table(
    "conversations",
    metadata,
    Column("id", _RowId, primary_key=True, autoincrement=True),
    _session(primary_key=False),
    Column("chat", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("session", "chat"),
    sqlite_autoincrement=True,
)
"""One row per session and chat; `chat` is the canonical address."""

conversation_addresses = Table(
    "conversation_addresses",
    metadata,
    _session(),
    Column("address", Text, primary_key=True),
    Column(
        "conversation",
        BigInteger,
        ForeignKey("conversations.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sqlite_with_rowid=False,
)
"""Every address a conversation is reached by: the database refuses a second owner of one (C9)."""

messages = Table(
    "messages",
    metadata,
    Column("id", _RowId, primary_key=True, autoincrement=True),
    _session(primary_key=False),
    Column("sender", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("conversation", BigInteger, nullable=False),
    Column("from_me", SmallInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("text", Text),
    Column("sealed", LargeBinary, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("status_at", BigInteger, nullable=False),
    # WhatsApp's own code. In a row without `failure`: an older version's word, shown to nobody.
    Column("error", Text),
    Column("push_name", Text),
    Column("sender_device", Integer, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("failure", Text),
    # C8. The sender leads so that learning a person's other address finds their messages.
    UniqueConstraint("session", "sender", "external_id", "conversation", "from_me"),
    Index("ix_messages_conversation_id", "conversation", "id"),
    Index("ix_messages_session_id", "session", "id"),
    Index("ix_messages_session_external_id", "session", "external_id"),
    # Almost empty: what still waits for the server. The constant column makes SQLite prefer it.
    Index(
        "ix_messages_queued",
        "session",
        "status",
        "id",
        sqlite_where=text("status = 'queued'"),
        postgresql_where=text("status = 'queued'"),
    ),
    sqlite_autoincrement=True,
)
"""Every message. `id` only grows, and is the cursor of the API."""

ledger = Table(
    "ledger",
    metadata,
    _session(),
    Column("sender", Text, primary_key=True),
    Column("external_id", Text, primary_key=True),
    Column("chat", Text, primary_key=True),
    Column("from_me", SmallInteger, primary_key=True, autoincrement=False),
    Column("fate", Text, nullable=False),
    Column("reason", Text),
    Column("retries", Integer, nullable=False),
    Column("first_seen", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Column("wants_phone", SmallInteger),
    Index(
        "ix_ledger_own_chat",
        "session",
        "chat",
        sqlite_where=text("from_me = 1"),
        postgresql_where=text("from_me = 1"),
    ),
    Index(
        "ix_ledger_open",
        "session",
        "first_seen",
        sqlite_where=text("fate IN ('pending', 'lost')"),
        postgresql_where=text("fate IN ('pending', 'lost')"),
    ),
    sqlite_with_rowid=False,
)
"""The fate of every inbound message id."""

ciphertexts = Table(
    "ciphertexts",
    metadata,
    Column("id", _RowId, primary_key=True, autoincrement=True),
    _session(primary_key=False),
    Column("hash", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
    UniqueConstraint("session", "hash"),
)
"""Hashes under which a redelivery is recognised. `id` follows time, so that the purge reads only
what it deletes."""

peer_messages = Table(
    "peer_messages",
    metadata,
    _session(),
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    _session(),
    Column("key", Text, primary_key=True),
    Column("request_hash", LargeBinary, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index("ix_idempotency_keys_at", "at"),
)
"""What a client asked for under its own key. Names the message by WhatsApp's id, which outlives a
merge of conversations."""

_OF_ACCOUNTS = (
    "type IN ('session.limited', 'session.limit_lifted', 'session.deleted', 'session.banned',"
    " 'session.connected')"
)

outbox = Table(
    "outbox",
    metadata,
    Column("seq", _RowId, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("type", Text, nullable=False),
    # By id, not by key: the event that says a session was deleted outlives it.
    Column("session", Text),
    Column("payload", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index("ix_outbox_session_seq", "session", "seq"),
    # What an account has been told, which is asked before it writes; few events among very many.
    Index(
        "ix_outbox_account",
        "session",
        "seq",
        "type",
        sqlite_where=text(_OF_ACCOUNTS),
        postgresql_where=text(_OF_ACCOUNTS),
    ),
)
"""Events in the order of their commits."""

counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""Numbers handed out under a row lock that is held until the commit, and notes of one number."""

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)
"""API keys by the SHA-256 of their text, which has 256 bits of its own: no slow hash is needed."""

outages = Table(
    "outages",
    metadata,
    Column("key", _RowId, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    _session(primary_key=False),
    Column("began_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("cause", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("sentence", Text, nullable=False),
    Column("attributes", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_attempt_at", BigInteger),
    Column("last_cause", Text, nullable=False),
    Column("last_code", Text, nullable=False),
    Column("retry_at", BigInteger),
    Column("end", Text),
    Column("losses", Text, nullable=False, server_default="[]"),
    Index("ix_outages_session_key", "session", "key"),
    Index("ix_outages_ended_at", "ended_at"),
    sqlite_autoincrement=True,
)
"""How each connection was lost and found again. `key` only grows, and is the cursor of the API."""

alerts = Table(
    "alerts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("rule", Text, nullable=False),
    # A session's id, or "" for the service itself.
    Column("subject", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("sentence", Text, nullable=False),
    Column("value", Double),
    Column("began_at", BigInteger, nullable=False),
    Column("fired_at", BigInteger, nullable=False),
    Column("resolved_at", BigInteger),
    Column("notified", Text, nullable=False),
    Index("ix_alerts_subject_fired_at", "subject", "fired_at"),
    Index("ix_alerts_fired_at", "fired_at"),
    Index("ix_alerts_resolved_at", "resolved_at"),
)
"""What needed a person, and whom it was told."""

alert_conditions = Table(
    "alert_conditions",
    metadata,
    Column("rule", Text, primary_key=True),
    # As that of an alert.
    Column("subject", Text, primary_key=True),
    Column("since", BigInteger, nullable=False),
)
"""What holds and has not fired: it is held back, or has not held for long enough."""

client_versions = Table(
    "client_versions",
    metadata,
    Column("endpoint", Text, primary_key=True),
    Column("version", Text, nullable=False),
    Column("found_at", BigInteger, nullable=False),
)
"""The client version that each endpoint asked for last."""

hearing = Table(
    "hearing",
    metadata,
    _session(),
    Column("learned", LargeBinary, nullable=False),
)
"""What a session has learned of its own traffic, in the engine's bytes; no secret."""

privacy_tokens = Table(
    "privacy_tokens",
    metadata,
    _session(),
    Column("person", Text, primary_key=True),
    Column("sealed", LargeBinary),
    Column("given_at", BigInteger),
    Column("sent_at", BigInteger),
)
"""What people gave us to show with messages to them, and when we last gave them ours."""

remains = Table(
    "remains",
    metadata,
    _session(),
    Column("id", Text, nullable=False),
    # A session that is made under the same id has events behind this one only.
    Column("last_event", BigInteger, nullable=False),
)
"""Sessions that were deleted, as long as rows that they have left behind are still to be removed.
The key of a session is never given again."""
