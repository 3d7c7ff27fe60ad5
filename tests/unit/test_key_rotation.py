"""Rotating the master key."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from perene.core.clock import SystemClock
from perene.core.ids import SessionId
from perene.key_rotation import KeyNotInFile, next_key_file, rotate
from perene.process.data_directory import DataDirectoryInUse, held_data_directory
from perene.settings import Settings
from perene.store.errors import DatabaseInUse, MissingMasterKey, WrongMasterKey
from perene.store.instance_lock import held_database
from perene.store.master_key import write_master_key
from perene.store.store import Store

pytestmark = pytest.mark.requirement("F7")


def open_store(settings: Settings) -> Store:
    return Store.open(settings.database, clock=SystemClock(), key_file=settings.master_key_path)


@pytest.fixture
async def settings(tmp_path: Path) -> Settings:
    """Settings of a directory with one session in its database."""
    settings = Settings(data_dir=tmp_path)
    store = open_store(settings)
    await store.create_session(SessionId("desk"))
    await store.close()
    return settings


async def test_after_a_rotation_only_the_new_key_opens_the_database(settings: Settings) -> None:
    old = settings.master_key_path.read_bytes()
    assert rotate(settings) == 1
    assert settings.master_key_path.read_bytes() != old
    assert settings.master_key_path.stat().st_mode & 0o777 == 0o600
    assert not next_key_file(settings).exists()
    store = open_store(settings)
    await store.delete_session(SessionId("desk"))
    await store.close()
    settings.master_key_path.write_bytes(old)
    with pytest.raises(WrongMasterKey):
        open_store(settings)


async def test_a_rotation_cut_short_before_the_database_is_completed(settings: Settings) -> None:
    write_master_key(next_key_file(settings), os.urandom(32))
    assert rotate(settings) == 1
    await open_store(settings).close()


async def test_a_rotation_cut_short_behind_the_database_is_completed(settings: Settings) -> None:
    old = settings.master_key_path.read_bytes()
    rotate(settings)
    settings.master_key_path.rename(next_key_file(settings))
    settings.master_key_path.write_bytes(old)
    settings.master_key_path.chmod(0o600)
    assert rotate(settings) == 0
    await open_store(settings).close()


async def test_a_rotation_without_the_present_key_leaves_nothing_behind(settings: Settings) -> None:
    there = settings.master_key_path.read_bytes()
    settings.master_key_path.unlink()
    with pytest.raises(MissingMasterKey):
        rotate(settings)
    write_master_key(settings.master_key_path, os.urandom(32))
    with pytest.raises(WrongMasterKey):
        rotate(settings)
    assert not next_key_file(settings).exists()
    settings.master_key_path.write_bytes(there)
    assert rotate(settings) == 1


async def test_a_key_from_the_environment_is_not_rotated(settings: Settings) -> None:
    fixed = settings.model_copy(update={"master_key": SecretStr("00" * 32)})
    with pytest.raises(KeyNotInFile):
        rotate(fixed)


def test_a_database_without_a_key_is_not_rotated(tmp_path: Path) -> None:
    with pytest.raises(MissingMasterKey):
        rotate(Settings(data_dir=tmp_path))


async def test_a_directory_in_use_is_not_rotated(settings: Settings) -> None:
    with held_data_directory(settings.data_dir), pytest.raises(DataDirectoryInUse):
        rotate(settings)


async def test_a_database_that_a_service_holds_is_not_rotated(settings: Settings) -> None:
    with held_database(settings.database), pytest.raises(DatabaseInUse):
        rotate(settings)
    assert not next_key_file(settings).exists()
