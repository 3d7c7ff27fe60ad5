"""Say which tests show which requirement, and fail when a finished one has none.

python -m tools.requirements          # only what is wrong
python -m tools.requirements --list   # every requirement, with its tests
"""

import argparse
import contextlib
import io
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

import pytest

ROOT = Path(__file__).parents[1]

Status = Literal["finished", "open", "later"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One line of docs/requirements.toml."""

    id: str
    promise: str
    status: Status


class MalformedRequirements(Exception):
    """docs/requirements.toml does not say for every id a promise and a known status."""


def load(root: Path = ROOT) -> list[Requirement]:
    """Read docs/requirements.toml, in its order, or raise MalformedRequirements."""
    rows = tomllib.loads((root / "docs" / "requirements.toml").read_text("utf-8"))
    requirements: list[Requirement] = []
    for name, row in rows.items():
        if set(row) != {"promise", "status"} or row["status"] not in get_args(Status):
            raise MalformedRequirements(
                f"{name}: needs a promise and a status of {', '.join(get_args(Status))}"
            )
        requirements.append(
            Requirement(id=name, promise=str(row["promise"]), status=cast("Status", row["status"]))
        )
    return requirements


def unproved(
    requirements: Sequence[Requirement], tests: Mapping[str, Sequence[str]]
) -> list[Requirement]:
    """Return the finished requirements that no test shows."""
    return [row for row in requirements if row.status == "finished" and not tests.get(row.id)]


def render(requirements: Sequence[Requirement], tests: Mapping[str, Sequence[str]]) -> str:
    """Return every requirement with its tests, as text for people."""
    lines: list[str] = []
    for row in requirements:
        lines.append(f"{row.id:<4} {row.status:<9} {row.promise}")
        lines.extend(f"{'':15}{test}" for test in sorted(tests.get(row.id, ())))
    count = sum(1 for row in requirements if tests.get(row.id))
    lines.append(f"{count} of {len(requirements)} requirements are shown by tests")
    return "\n".join(lines)


def shown_by(item: pytest.Item) -> Iterator[str]:
    """Yield the ids that a test says it shows, without repetition."""
    seen: set[str] = set()
    for mark in item.iter_markers("requirement"):
        for name in mark.args:
            if name not in seen:
                seen.add(name)
                yield name


class _Collector:
    """A pytest plugin that notes the marks of what was collected, and runs nothing."""

    def __init__(self) -> None:
        self.tests: dict[str, set[str]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            # One line for all the parameters of a test.
            test = item.nodeid.partition("[")[0]
            for name in shown_by(item):
                self.tests.setdefault(name, set()).add(test)


def collect(root: Path = ROOT) -> dict[str, list[str]]:
    """Return the node ids of the tests that show each requirement. Exits when collection fails."""
    collector = _Collector()
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        code = pytest.main(
            ["--collect-only", "-qq", "-p", "no:randomly", f"--rootdir={root}"], plugins=[collector]
        )
    if code not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        sys.exit(f"{output.getvalue()}\nthe tests could not be collected")
    return {name: sorted(tests) for name, tests in collector.tests.items()}


def main() -> int:
    """Run from the command line; 1 when a finished requirement has no test."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--list", action="store_true", help="print every requirement and its tests")
    arguments = parser.parse_args()
    requirements = load()
    tests = collect()
    if arguments.list:
        print(render(requirements, tests))
    missing = unproved(requirements, tests)
    for row in missing:
        print(f"{row.id} is finished, but no test shows it: {row.promise}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
