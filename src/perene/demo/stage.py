"""The stage of the demo: both programs, and the clients that talk to them."""

import tempfile
from pathlib import Path
from types import TracebackType

from perene.demo.children import Child, free_port
from perene.demo.client import Client
from perene.sim.main import read_root


class Stage:
    """A simulator and a service on free ports, in a fresh directory. Leaving it ends both."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="perene-demo-"))
        root = read_root(self.folder / "simulator-root-key")
        sim_port, port = free_port(), free_port()
        self.simulator = Client(sim_port)
        self.key = ""
        self.perene = Client(port)
        self._port = port
        self._sim = Child(
            (
                "sim",
                "--port",
                str(sim_port),
                "--root-key-file",
                f"{self.folder}/simulator-root-key",
            ),
            {},
            self.folder / "simulator.log",
        )
        self.service = Child(
            ("serve",),
            {
                "PERENE_DATA_DIR": str(self.folder / "data"),
                "PERENE_PORT": str(port),
                "PERENE_ENDPOINT": f"ws://127.0.0.1:{sim_port}/ws/chat",
                "PERENE_NOISE_ROOT_KEY": root.public.hex(),
            },
            self.folder / "perene.log",
        )

    def __enter__(self) -> "Stage":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.service.stop()
        finally:
            self._sim.stop()

    def open(self) -> None:
        """Start both; return when both answer. The API key is shown by the first start only."""
        self._sim.start()
        self.service.start()
        self._sim.wait_for(r"(Ctrl-C ends it)")
        self.key = self.service.wait_for(r"\b(pk_[A-Za-z0-9_-]+)")
        self.perene = Client(self._port, {"X-Api-Key": self.key})
        self.service.wait_for("(serves at)")

    def restart(self) -> None:
        """Start the service again, on the same data."""
        self.service.start()
        self.service.wait_for("(serves at)")
