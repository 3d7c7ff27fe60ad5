"""A number in a file, which knows whether the file is the one that it was written to."""

import errno
import shutil
from pathlib import Path
from unittest.mock import Mock

import pytest

from perene.process import high_water
from perene.process.high_water import Mark, read_mark, write_mark

pytestmark = pytest.mark.requirement("F4")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "noted"


@pytest.mark.parametrize("reached", [0, 7, 10**20 - 1])
def test_what_was_written_is_read(file: Path, reached: int) -> None:
    for number in (123, reached):
        write_mark(file, number)
    assert read_mark(file) == Mark(reached=reached, is_copy=False)
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_that_was_moved_or_given_to_somebody_is_no_copy(file: Path) -> None:
    write_mark(file, 5)
    moved = file.rename(file.with_name("moved"))
    moved.chmod(0o640)
    moved.touch()
    assert read_mark(moved) == Mark(reached=5, is_copy=False)


def test_a_copy_is_known_with_all_its_times(file: Path) -> None:
    write_mark(file, 5)
    copy = file.with_name("copy")
    shutil.copy2(file, copy)
    assert read_mark(copy) == Mark(reached=5, is_copy=True)


def test_a_file_that_got_the_inode_of_the_removed_one_is_a_copy(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does on the most common file system."""
    monkeypatch.setattr(high_water, "_generation", lambda _: 1)
    write_mark(file, 5)
    monkeypatch.setattr(high_water, "_generation", lambda _: 2)
    assert read_mark(file) == Mark(reached=5, is_copy=True)


def test_a_file_system_that_does_not_count_them_is_served_as_well(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = Mock(side_effect=OSError(errno.ENOTTY, "inappropriate"))
    monkeypatch.setattr("fcntl.ioctl", refusing)
    write_mark(file, 5)
    assert read_mark(file) == Mark(reached=5, is_copy=False)
    refusing.assert_called()


def test_a_copy_that_is_written_to_is_none_any_more(file: Path) -> None:
    write_mark(file, 5)
    copy = file.with_name("copy")
    shutil.copy2(file, copy)
    write_mark(copy, 6)
    assert read_mark(copy) == Mark(reached=6, is_copy=False)


@pytest.mark.parametrize("written", ["12\n", f"{12:020}\n", " 12"])
def test_whoever_writes_only_a_number_is_taken_at_their_word(file: Path, written: str) -> None:
    """As the manual says, and as Perene did before."""
    file.write_text(written)
    assert read_mark(file) == Mark(reached=12, is_copy=False)


@pytest.mark.parametrize("written", [None, "", "half a num", "12ä", "12 x"])
def test_what_is_no_number_is_nothing(file: Path, written: str | None) -> None:
    if written is not None:
        file.write_text(written)
    assert read_mark(file) is None


def test_more_than_was_ever_written_is_a_copy(file: Path) -> None:
    write_mark(file, 5)
    file.write_text(f"{file.read_text()} 7")
    assert read_mark(file) == Mark(reached=5, is_copy=True)
