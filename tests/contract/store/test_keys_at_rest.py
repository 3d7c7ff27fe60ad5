"""Keys at rest: sealed to their row, under a master key that is never guessed or replaced."""

import base64
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, Table, delete, select, update

from perene.core.errors import UnreadableState
from perene.core.ids import Epoch, SessionId
from perene.core.messages import MessageKey
from perene.core.sessions import SessionOptions
from perene.core.unit import PeerMessage, PreKeyWrite, Profile, RatchetWrite, SenderKeyWrite
from perene.store import schema
from perene.store.errors import (
    BadMasterKey,
    ExposedKeyFile,
    MissingMasterKey,
    RefusedToStart,
    UnusableKeyFile,
    WrongMasterKey,
)
from perene.store.keyring import rotate_master_key
from perene.store.master_key import find_master_key, write_master_key
from perene.store.store import Store
from tests.support.units import ANA, GROUP, LID, Bytes, ManualClock, key, message, unit

pytestmark = pytest.mark.requirement("F7")

BOB = SessionId("bob")
SECRET = b"a secret that must not be readable in any column"


def text_of(key_bytes: bytes) -> str:
    return base64.b64encode(key_bytes).decode()


def key_of(file: Path) -> bytes:
    return base64.b64decode(file.read_bytes())


def mode_of(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def exists(file: Path) -> bool:
    return file.exists()


def move(source: Path, target: Path) -> None:
    source.rename(target)


async def fill(store: Store, session: SessionId = ANA) -> None:
    """Store one of everything that is sealed."""
    await store.create_session(session, options=SessionOptions(proxy=f"http://u:{SECRET!r}@p"))
    await store.commit(
        [
            unit(
                session=session,
                epoch=(await store.get_session(session)).epoch,
                credentials=Bytes(SECRET),
                ratchets=(
                    RatchetWrite(address="1.0", state=Bytes(SECRET)),
                    RatchetWrite(address="2.0", state=Bytes(b"other")),
                ),
                sender_keys=(SenderKeyWrite(group=GROUP, address="1.0", state=Bytes(SECRET)),),
                pre_keys_added=(PreKeyWrite(id=1, private=SECRET),),
                messages=(
                    message(
                        MessageKey(chat=LID, sender=LID, id=key().id, from_me=False), body=SECRET
                    ),
                ),
                peer_messages=(PeerMessage(id="P", kind="k", body=SECRET),),
            )
        ]
    )


async def read_all(store: Store, session: SessionId = ANA) -> None:
    """Read one of everything that is sealed."""
    reader = store.reader(session, Epoch(0))
    assert await reader.credentials() == SECRET
    assert (await reader.ratchets(["1.0"]))["1.0"] == SECRET
    assert await reader.sender_key(GROUP, "1.0") == SECRET
    assert (await reader.pre_keys([1])).get(1) == SECRET
    [stored] = await store.list_messages(session)
    assert stored.message.body == SECRET
    assert (await store.peer_messages(session, limit=1))[0].body == SECRET
    record = await store.get_session(session)
    assert record.options.proxy == f"http://u:{SECRET!r}@p"


async def test_no_column_holds_a_secret_in_clear(store: Store, key_file: Path) -> None:
    await fill(store)
    await store.archive_credentials(ANA, Epoch(0), "unlinked")
    master = key_of(key_file)

    def every_value(connection: Connection) -> list[object]:
        return [
            value
            for table in schema.metadata.sorted_tables
            for row in connection.execute(select(table))
            for value in row
        ]

    values = await store.database.read(every_value)
    assert len(values) > 50
    for value in values:
        held = value if isinstance(value, bytes) else str(value).encode()
        assert SECRET not in held
        assert master not in held
    [archived] = await store.archived_credentials(ANA)
    assert archived.data == SECRET


async def test_everything_opens_again_in_another_process(
    store: Store, open_store: Callable[[], Store]
) -> None:
    await fill(store)
    await read_all(open_store())


async def test_a_value_moved_to_another_row_does_not_open(store: Store) -> None:
    await fill(store)

    def swap(connection: Connection) -> None:
        ratchets = schema.ratchets
        sealed = connection.execute(
            select(ratchets.c.sealed).where(ratchets.c.name == "2")
        ).scalar_one()
        connection.execute(update(ratchets).where(ratchets.c.name == "1").values(sealed=sealed))

    await store.database.write(swap)
    with pytest.raises(UnreadableState, match="ratchets"):
        await store.reader(ANA, Epoch(0)).ratchets(["1.0"])


async def test_a_value_moved_to_another_session_does_not_open(store: Store) -> None:
    await fill(store)
    await fill(store, BOB)

    def swap(connection: Connection) -> None:
        table = schema.credentials
        rows = connection.execute(select(table).order_by(table.c.session)).all()
        for row, other in zip(rows, reversed(rows), strict=True):
            connection.execute(
                update(table).where(table.c.session == row.session).values(sealed=other.sealed)
            )

    await store.database.write(swap)
    with pytest.raises(UnreadableState):
        await store.reader(BOB, Epoch(0)).credentials()


Damage = Callable[[bytes], bytes]

_DAMAGES: dict[str, Damage] = {
    "a format of the future": lambda blob: bytes([99]) + blob[1:],
    "an unknown data key": lambda blob: blob[:2] + b"\x07" + blob[3:],
    "a flipped bit": lambda blob: blob[:-1] + bytes([blob[-1] ^ 1]),
    "cut short": lambda blob: blob[:10],
    "emptied": lambda _blob: b"",
}

_READ_BACK = [
    schema.credentials,
    schema.ratchets,
    schema.sender_keys,
    schema.pre_keys,
    schema.messages,
    schema.peer_messages,
]

_DAMAGED = [
    *((table, damage) for table in _READ_BACK for damage in _DAMAGES),
    # A wrapped data key's generation stands in its row, not in the blob.
    *((schema.data_keys, damage) for damage in _DAMAGES if damage != "an unknown data key"),
]


@pytest.mark.parametrize(
    ("table", "damage"), _DAMAGED, ids=[f"{table.name}-{damage}" for table, damage in _DAMAGED]
)
async def test_a_damaged_value_is_never_taken_for_an_absent_one(
    store: Store, open_store: Callable[[], Store], table: Table, damage: str
) -> None:
    await fill(store)

    def harm(connection: Connection) -> None:
        for row in connection.execute(select(table)).mappings().all():
            same = [column == row[column.name] for column in table.primary_key]
            sealed = _DAMAGES[damage](row["sealed"])
            connection.execute(update(table).where(*same).values(sealed=sealed))

    await store.database.write(harm)
    with pytest.raises(UnreadableState):
        await read_all(open_store())


async def test_a_lost_data_key_is_reported_not_replaced(
    store: Store, open_store: Callable[[], Store]
) -> None:
    await fill(store)
    await store.database.write(lambda connection: connection.execute(delete(schema.data_keys)))
    other = open_store()
    with pytest.raises(UnreadableState, match="no data key"):
        await other.reader(ANA, Epoch(0)).credentials()
    with pytest.raises(UnreadableState, match="no data key"):
        await other.commit([unit(messages=(message(),))])


async def test_lost_credentials_of_a_linked_session_are_reported_not_replaced(
    store: Store, open_store: Callable[[], Store]
) -> None:
    await fill(store)
    await store.commit([unit(profile=Profile(pn="15550000001:3@s.whatsapp.net"))])
    await store.database.write(lambda connection: connection.execute(delete(schema.credentials)))
    with pytest.raises(UnreadableState, match="credentials are missing"):
        await open_store().reader(ANA, Epoch(0)).credentials()


async def test_the_key_file_of_a_new_database_is_for_its_owner_only(
    store: Store, key_file: Path
) -> None:
    await store.ping()
    assert mode_of(key_file) == 0o600
    assert len(key_of(key_file)) == 32


async def test_the_given_key_counts_before_the_file(
    url: str, clock: ManualClock, key_file: Path
) -> None:
    master = os.urandom(32)
    store = Store.open(url, clock=clock, key_file=key_file, master_key=f" {text_of(master)}\n")
    await fill(store)
    await store.close()
    assert not exists(key_file)
    again = Store.open(url, clock=clock, key_file=key_file, master_key=text_of(master))
    await read_all(again)
    await again.close()


def refusal(url: str, key_file: Path, master_key: str | None = None) -> RefusedToStart:
    with pytest.raises(RefusedToStart) as refused:
        Store.open(url, clock=ManualClock(), key_file=key_file, master_key=master_key)
    return refused.value


async def test_a_wrong_master_key_is_refused(store: Store, url: str, key_file: Path) -> None:
    await fill(store)
    wrong = text_of(os.urandom(32))
    refused = refusal(url, key_file, wrong)
    assert isinstance(refused, WrongMasterKey)
    assert wrong not in f"{refused} {refused.remedy} {refused.__cause__}"
    await read_all(store)


async def test_a_missing_key_file_is_never_replaced_over_sealed_data(
    store: Store, url: str, key_file: Path
) -> None:
    await fill(store)
    saved = key_file.with_suffix(".saved")
    move(key_file, saved)
    refused = refusal(url, key_file)
    assert isinstance(refused, MissingMasterKey)
    assert "Restore the key file or set PERENE_MASTER_KEY" in refused.remedy
    assert not exists(key_file)
    move(saved, key_file)
    again = Store.open(url, clock=ManualClock(), key_file=key_file)
    await read_all(again)
    await again.close()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o620])
def test_a_key_file_that_others_can_use_is_refused(url: str, key_file: Path, mode: int) -> None:
    write_master_key(key_file, os.urandom(32))
    key_file.chmod(mode)
    refused = refusal(url, key_file)
    assert isinstance(refused, ExposedKeyFile)
    assert "chmod 600" in refused.remedy
    assert mode_of(key_file) == mode


def test_a_key_file_that_cannot_be_read_refuses_the_start(url: str, key_file: Path) -> None:
    key_file.mkdir(0o700)
    refused = refusal(url, key_file)
    assert isinstance(refused, UnusableKeyFile)
    assert str(refused) == f"the key file {key_file} cannot be read (Is a directory)"


def test_a_place_where_no_key_file_can_be_made_refuses_the_start(url: str, key_file: Path) -> None:
    key_file.with_name("place").touch()
    refused = refusal(url, key_file.with_name("place") / "master.key")
    assert isinstance(refused, UnusableKeyFile)


@pytest.mark.parametrize(
    "content", [b"", b"\n", text_of(bytes(31)).encode(), text_of(bytes(33)).encode(), b"\xff" * 32]
)
def test_a_key_file_of_the_wrong_length_is_refused(
    url: str, key_file: Path, content: bytes
) -> None:
    key_file.touch(0o600)
    key_file.write_bytes(content)
    assert isinstance(refusal(url, key_file), BadMasterKey)
    assert key_file.read_bytes() == content


KEY = bytes(range(224, 256))


@pytest.mark.parametrize(
    "content", [KEY.hex(), KEY.hex().upper(), text_of(KEY), base64.urlsafe_b64encode(KEY).decode()]
)
def test_a_key_file_holds_its_key_in_any_form_that_the_variable_can_have(
    key_file: Path, content: str
) -> None:
    key_file.touch(0o600)
    key_file.write_text(f"{content}\n")
    assert find_master_key(None, key_file, database_in_use=True) == KEY


@pytest.mark.parametrize("value", ["secret!", text_of(bytes(16)), "é" * 44])
def test_a_master_key_that_is_none_is_refused_without_quoting_it(
    url: str, key_file: Path, value: str
) -> None:
    refused = refusal(url, key_file, value)
    assert isinstance(refused, BadMasterKey)
    assert "backup" in refused.remedy
    assert value not in f"{refused} {refused.__cause__} {refused.remedy}"
    assert not exists(key_file)


async def test_the_master_key_is_rotated_without_touching_a_row(
    store: Store, url: str, key_file: Path
) -> None:
    await fill(store)
    await fill(store, BOB)
    old, new = key_of(key_file), os.urandom(32)
    assert await store.database.write(rotate_master_key, old, new) == 2
    await read_all(store)
    with pytest.raises(WrongMasterKey):
        await store.create_session(SessionId("eve"))

    assert isinstance(refusal(url, key_file), WrongMasterKey)
    write_master_key(key_file, new)
    assert mode_of(key_file) == 0o600
    again = Store.open(url, clock=ManualClock(), key_file=key_file)
    await read_all(again)
    await read_all(again, BOB)
    await again.create_session(SessionId("eve"))
    await again.close()


async def test_a_rotation_with_the_wrong_old_key_changes_nothing(
    store: Store, open_store: Callable[[], Store]
) -> None:
    await fill(store)
    with pytest.raises(WrongMasterKey):
        await store.database.write(rotate_master_key, os.urandom(32), os.urandom(32))
    await read_all(open_store())


async def test_a_rotation_that_meets_a_damaged_key_changes_nothing(
    store: Store, open_store: Callable[[], Store], key_file: Path
) -> None:
    await fill(store)
    await fill(store, BOB)

    def harm(connection: Connection) -> None:
        table = schema.data_keys
        session = connection.execute(
            select(schema.sessions.c.key).where(schema.sessions.c.id == BOB)
        ).scalar_one()
        connection.execute(
            update(table).where(table.c.session == session).values(sealed=b"\1\0\1" + bytes(60))
        )

    await store.database.write(harm)
    old = key_of(key_file)
    with pytest.raises(UnreadableState):
        await store.database.write(rotate_master_key, old, os.urandom(32))
    await read_all(open_store())


async def test_a_session_made_again_under_an_old_id_shares_no_key(store: Store) -> None:
    await fill(store)
    await store.delete_session(ANA)
    await fill(store)
    await read_all(store)
