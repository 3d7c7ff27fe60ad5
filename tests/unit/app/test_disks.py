"""Each file system that is written to is looked at."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from perene.app.watch import host_watch
from perene.core.clock import SystemClock
from perene.settings import Settings
from tests.support.other_disk import other_disk


def places(settings: Settings) -> str:
    """Return what the health tells disks of before the first look."""
    return host_watch(settings, SystemClock()).disk().detail or ""


def test_a_database_in_the_data_directory_is_on_its_disk(tmp_path: Path) -> None:
    assert "Database" not in places(Settings(data_dir=tmp_path))
    beside = tmp_path / "beside"
    beside.mkdir()
    url = SecretStr(f"sqlite:///{beside}/perene.db")
    assert "Database" not in places(Settings(data_dir=tmp_path, database_url=url))


@pytest.mark.parametrize("linked", [False, True])
def test_a_database_on_another_disk_is_looked_at_as_well(tmp_path: Path, *, linked: bool) -> None:
    with other_disk() as folder:
        file = folder / "perene.db"
        file.touch()
        if linked:
            (tmp_path / "perene.db").symlink_to(file)
            file = tmp_path / "perene.db"
        url = SecretStr(f"sqlite:///{file}")
        assert "Database:" in places(Settings(data_dir=tmp_path, database_url=url))


def test_a_server_has_a_disk_of_its_own(tmp_path: Path) -> None:
    url = SecretStr("postgresql://perene@db.example.com/perene")
    assert "Database" not in places(Settings(data_dir=tmp_path, database_url=url))
