"""A generated file that is not what would be generated is told."""

from pathlib import Path

from tools.generate import stale


def test_missing_and_changed_files_are_stale(tmp_path: Path) -> None:
    (tmp_path / "same").write_text("text")
    (tmp_path / "changed").write_text("by hand")

    assert stale({"same": "text", "changed": "text", "missing": "text"}, tmp_path) == [
        "changed",
        "missing",
    ]
