"""How many files may be open, and how many are."""

import resource
from unittest.mock import Mock

import pytest

from perene.process import open_files

LIMIT = resource.RLIMIT_NOFILE


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, int]]:
    """The limits of a process; nobody's are changed."""
    now = {"files": (1024, 20_000)}

    def put(_: int, to: tuple[int, int]) -> None:
        now["files"] = to

    monkeypatch.setattr(resource, "getrlimit", lambda _: now["files"])
    monkeypatch.setattr(resource, "setrlimit", put)
    return now


def test_a_service_takes_as_many_as_it_may_have(limits: dict[str, tuple[int, int]]) -> None:
    assert open_files.raise_limit() == 20_000
    assert limits["files"] == (20_000, 20_000)


def test_a_limit_that_cannot_be_raised_stays(
    limits: dict[str, tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits["files"] = (1024, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "setrlimit", Mock(side_effect=ValueError("not permitted")))
    assert open_files.raise_limit() == 1024


def test_too_low_a_limit_is_told_as_what_it_is(limits: dict[str, tuple[int, int]]) -> None:
    """Else whatever opens a file next would fail, in words of its own."""
    limits["files"] = (64, 64)
    assert open_files.raise_limit() == 64
    limits["files"] = (16, 63)
    with pytest.raises(open_files.TooFewOpenFiles, match="open 63 files") as refused:
        open_files.raise_limit()
    assert "ulimit -n" in refused.value.remedy


def test_there_may_be_no_limit(limits: dict[str, tuple[int, int]]) -> None:
    limits["files"] = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    assert open_files.raise_limit() is None
    assert open_files.share_used() == 0


def test_the_share_that_is_open_is_counted(
    limits: dict[str, tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits["files"] = (100, 100)
    monkeypatch.setattr("os.listdir", lambda _: [str(number) for number in range(25)])
    assert open_files.share_used() == 0.25


@pytest.mark.parametrize(("number", "share"), [(24, 1.0), (2, None)])
def test_where_they_cannot_be_counted_only_their_lack_is_known(
    monkeypatch: pytest.MonkeyPatch, number: int, share: float | None
) -> None:
    monkeypatch.setattr("os.listdir", Mock(side_effect=OSError(number, "no")))
    assert open_files.share_used() == share
