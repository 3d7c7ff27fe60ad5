"""The Python modules and type stubs of every protobuf definition under src."""

import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"


def outputs() -> dict[str, str]:
    """Return what protoc makes of each `.proto`, by its path from the root of the project."""
    definitions = [str(path.relative_to(SOURCE)) for path in sorted(SOURCE.rglob("*.proto"))]
    if not definitions:
        return {}
    plugin = Path(sys.executable).parent / "protoc-gen-mypy"
    with tempfile.TemporaryDirectory() as name:
        subprocess.run(
            [
                *(sys.executable, "-m", "grpc_tools.protoc"),
                f"--plugin=protoc-gen-mypy={plugin}",
                f"-I{SOURCE}",
                f"--python_out={name}",
                f"--mypy_out=quiet:{name}",
                *definitions,
            ],
            check=True,
        )
        made = sorted(path for path in Path(name).rglob("*") if path.is_file())
        return {f"src/{path.relative_to(name)}": path.read_text("utf-8") for path in made}
