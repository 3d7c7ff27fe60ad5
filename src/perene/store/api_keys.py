"""API keys: shown once, stored as a hash."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from perene.core.errors import NotFound
from perene.store.moments import micros, moment
from perene.store.schema import api_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is known of an API key; its text is not."""

    id: str
    name: str
    created_at: datetime


def create_api_key(connection: Connection, name: str, now: datetime) -> tuple[ApiKey, str]:
    """Make a key; its text (second) is returned here and never again."""
    key = ApiKey(id=f"k_{secrets.token_hex(6)}", name=name, created_at=now)
    text = f"pk_{secrets.token_urlsafe(32)}"
    connection.execute(
        insert(api_keys).values(id=key.id, hash=_hash(text), name=name, created_at=micros(now))
    )
    return key, text


def verify_api_key(connection: Connection, text: str) -> ApiKey | None:
    """Return the key that has this text. Its hash is looked up, so timing tells nothing."""
    row = connection.execute(
        select(api_keys.c.id, api_keys.c.name, api_keys.c.created_at).where(
            api_keys.c.hash == _hash(text)
        )
    ).first()
    return None if row is None else _key(row.id, row.name, row.created_at)


def list_api_keys(connection: Connection) -> list[ApiKey]:
    """Return every key, oldest first."""
    rows = connection.execute(
        select(api_keys.c.id, api_keys.c.name, api_keys.c.created_at).order_by(
            api_keys.c.created_at, api_keys.c.id
        )
    )
    return [_key(id_, name, created_at) for id_, name, created_at in rows]


def revoke_api_key(connection: Connection, key_id: str) -> None:
    """Delete a key, or raise NotFound."""
    if not connection.execute(delete(api_keys).where(api_keys.c.id == key_id)).rowcount:
        raise NotFound(f"there is no API key {key_id}")


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _key(id_: str, name: str, created_at: int) -> ApiKey:
    return ApiKey(id=id_, name=name, created_at=moment(created_at))
