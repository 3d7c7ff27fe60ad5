"""Room in a file system, as the system tells it."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from perene.process.room import Room, room_at


def test_the_room_is_that_for_this_user(tmp_path: Path) -> None:
    room, found = room_at(tmp_path), os.statvfs(tmp_path)
    # Others write to the same disk meanwhile.
    assert room.free_bytes == pytest.approx(shutil.disk_usage(tmp_path).free, abs=2**30)
    assert room.most_files == found.f_files
    assert room.free_files == pytest.approx(found.f_favail, abs=100_000)


@pytest.mark.parametrize(
    ("free", "most", "share"),
    [
        (750, 1000, 0.25),
        (0, 1000, 1.0),
        (1000, 1000, 0.0),
        (1001, 1000, 0.0),  # as some network shares tell
        (0, 0, None),
        (-1, -1, None),
    ],
)
def test_a_share_is_told_only_of_a_limit_that_is_known(
    free: int, most: int, share: float | None
) -> None:
    assert Room(free_bytes=1, free_files=free, most_files=most).files_share == share


def test_what_root_alone_may_use_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    told = SimpleNamespace(
        f_frsize=4096, f_bsize=65536, f_bfree=9, f_bavail=5, f_files=100, f_ffree=9, f_favail=4
    )
    monkeypatch.setattr(os, "statvfs", lambda _: told)
    assert room_at(Path("/")) == Room(free_bytes=5 * 4096, free_files=4, most_files=100)


def test_a_place_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        room_at(tmp_path / "none")
