"""Write every generated file anew, or tell which of them are stale.

A module in `tools/generators` makes some files: it has a function `outputs()` that returns their
contents by path, relative to the root. Adding a module there is all it takes.

    python -m tools.generate           # write
    python -m tools.generate --check   # fail when a file is not what would be written
"""

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from tools import generators

ROOT = Path(__file__).parents[1]

Outputs = Mapping[str, str]


def outputs() -> dict[str, str]:
    """Return the contents of every generated file by its path from the root."""
    everything: dict[str, str] = {}
    for module in sorted(pkgutil.iter_modules(generators.__path__), key=lambda info: info.name):
        generator = importlib.import_module(f"tools.generators.{module.name}")
        everything |= cast("Callable[[], Outputs]", generator.outputs)()
    return everything


def stale(contents: Outputs, root: Path = ROOT) -> list[str]:
    """Return the paths whose file is missing or different."""
    return [
        path
        for path, content in contents.items()
        if not (root / path).is_file() or (root / path).read_text("utf-8") != content
    ]


def main() -> int:
    """Run from the command line; with --check 1 when anything is stale."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing, fail when stale")
    arguments = parser.parse_args()
    contents = outputs()
    changed = stale(contents)
    for path in changed:
        if arguments.check:
            print(f"{path} is stale: run `make generate`", file=sys.stderr)
        else:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(contents[path], "utf-8")
            print(f"wrote {path}")
    return 1 if changed and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
