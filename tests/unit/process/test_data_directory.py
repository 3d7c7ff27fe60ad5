"""The data directory has one holder at a time."""

import asyncio
import errno
import stat
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from perene.core.errors import RefusedToStart
from perene.process.data_directory import DataDirectoryInUse, held_data_directory

HOLD = """
import sys
from pathlib import Path
from perene.process.data_directory import held_data_directory
with held_data_directory(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_it_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "data"
    with held_data_directory(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


@pytest.mark.requirement("D9")
def test_a_second_holder_is_refused_and_told_where(tmp_path: Path) -> None:
    with held_data_directory(tmp_path):
        # The refused one does not take the lock away from the first either.
        for _ in range(2):
            with (
                pytest.raises(DataDirectoryInUse, match=str(tmp_path)),
                held_data_directory(tmp_path),
            ):
                pass


def test_a_file_in_its_place_is_told_as_what_it_is(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.touch()
    for path in (file, file / "deep"):
        with (
            pytest.raises(RefusedToStart, match=r"it is no directory.*set PERENE_DATA_DIR"),
            held_data_directory(path),
        ):
            pass


def test_a_file_system_without_locks_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fcntl.flock", Mock(side_effect=OSError(errno.ENOLCK, "No locks")))
    with (
        pytest.raises(RefusedToStart, match=r"gives no locks \(No locks\): set PERENE_DATA_DIR"),
        held_data_directory(tmp_path),
    ):
        pass


def test_it_can_be_held_again_once_it_was_let_go(tmp_path: Path) -> None:
    for _ in range(2):
        with held_data_directory(tmp_path):
            pass


def test_it_is_let_go_when_the_holder_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), held_data_directory(tmp_path):
        raise ZeroDivisionError
    with held_data_directory(tmp_path):
        pass


def test_two_directories_have_nothing_to_do_with_each_other(tmp_path: Path) -> None:
    with held_data_directory(tmp_path / "a"), held_data_directory(tmp_path / "b"):
        pass


def test_a_path_that_cannot_be_a_directory_refuses_the_start(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("in the way")
    with pytest.raises(RefusedToStart) as caught, held_data_directory(path):
        pass
    assert not isinstance(caught.value, DataDirectoryInUse)
    assert path.read_text() == "in the way"


@pytest.mark.requirement("D9")
async def test_the_lock_of_a_killed_process_goes_with_it(tmp_path: Path) -> None:
    holder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLD, str(tmp_path)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert holder.stdout is not None
    try:
        async with asyncio.timeout(30):
            assert await holder.stdout.readline() == b"held\n"
        with pytest.raises(DataDirectoryInUse), held_data_directory(tmp_path):
            pass
    finally:
        holder.kill()
        await holder.wait()
    with held_data_directory(tmp_path):
        pass
