"""Whether the files of a database are the ones that were seen first."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from perene.core.errors import StorageUnavailable
from perene.store.sqlite_files import SqliteFiles


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("perene.db", "perene.db-wal", "perene.db-shm"):
        (folder / name).touch()
    return folder


@pytest.fixture
def files(folder: Path) -> SqliteFiles:
    files = SqliteFiles(folder / "perene.db")
    files.check()
    return files


@pytest.fixture
def stat_says(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[..., object]], None]:
    """Return a function that has another answer what the system says of one file."""
    stat = Path.stat

    def says(name: str, answer: Callable[..., object]) -> None:
        def instead(path: Path, **options: bool) -> object:
            found = stat(path, **options)
            return answer(found) if path.name == name else found

        monkeypatch.setattr(Path, "stat", instead)

    return says


def test_a_folder_that_became_a_file_has_taken_its_files_away(
    folder: Path, files: SqliteFiles
) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.touch()
    with pytest.raises(StorageUnavailable, match=r"\(perene\.db was deleted, moved or replaced\)"):
        files.check()


def test_a_file_of_the_same_number_on_another_disk_is_another(
    files: SqliteFiles, stat_says: Callable[[str, Callable[..., object]], None]
) -> None:
    def elsewhere(found: os.stat_result) -> os.stat_result:
        return os.stat_result((*found[:2], found.st_dev + 1, *found[3:]))

    stat_says("perene.db", elsewhere)
    with pytest.raises(StorageUnavailable, match=r"\(perene\.db was"):
        files.check()


@pytest.mark.parametrize("name", ["perene.db", "perene.db-wal"])
def test_a_file_that_may_not_be_looked_at_can_be_written_all_the_same(
    files: SqliteFiles, stat_says: Callable[[str, Callable[..., object]], None], name: str
) -> None:
    def refuse(_found: os.stat_result) -> object:
        raise PermissionError

    stat_says(name, refuse)
    files.check()


def test_a_journal_that_comes_later_is_looked_at_from_then_on(tmp_path: Path) -> None:
    file, journal = tmp_path / "perene.db", tmp_path / "perene.db-wal"
    file.touch()
    files = SqliteFiles(file)
    files.check()
    journal.touch()
    files.check()
    journal.unlink()
    with pytest.raises(StorageUnavailable, match=r"\(perene\.db-wal was"):
        files.check()
