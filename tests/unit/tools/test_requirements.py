"""The list of requirements says the truth about the tests."""

from pathlib import Path

import pytest

from tools.requirements import MalformedRequirements, Requirement, load, render, unproved


def requirement(name: str, status: str = "finished") -> Requirement:
    return Requirement(id=name, promise=f"{name} holds.", status=status)  # pyright: ignore[reportArgumentType] # any status


def test_a_finished_requirement_needs_a_test() -> None:
    rows = [requirement("X1"), requirement("X2"), requirement("X3")]

    assert unproved(rows, {"X1": ["tests/test_x.py::test_one"], "X3": []}) == rows[1:]


@pytest.mark.parametrize("status", ["open", "later"])
def test_a_requirement_that_is_not_finished_may_lack_one(status: str) -> None:
    assert unproved([requirement("X1", status)], {}) == []


def test_the_list_shows_every_requirement_with_its_tests() -> None:
    text = render([requirement("X1"), requirement("X2", "open")], {"X2": ["test_b", "test_a"]})

    lines = [line.split() for line in text.splitlines()]
    assert lines[0] == ["X1", "finished", "X1", "holds."]
    assert lines[2:4] == [["test_a"], ["test_b"]]
    assert text.endswith("1 of 2 requirements are shown by tests")


def test_every_id_of_the_project_has_a_promise() -> None:
    ids = [row.id for row in load()]

    expected = {"A": 8, "B": 12, "C": 17, "D": 11, "E": 8, "F": 10}
    assert ids == [f"{area}{n}" for area, last in expected.items() for n in range(1, last + 1)]


@pytest.mark.parametrize(
    "text",
    ['[X1]\npromise = "p"', '[X1]\npromise = "p"\nstatus = "maybe"', '[X1]\nstatus = "open"'],
)
def test_a_line_without_promise_or_status_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "requirements.toml").write_text(text)

    with pytest.raises(MalformedRequirements, match="X1"):
        load(tmp_path)
