"""A client that only acknowledges: what the simulator can push when nothing is decrypted or kept.

    python -m bench.blind URL ROOT_KEY DATA_DIR

It logs in with the credentials of a Perene session whose service has stopped.
"""

import asyncio
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.perene import Perene
from bench.processes import stopping
from bench.simulator import Simulator
from bench.usage import Memory, memory
from perene.core.clock import SystemClock
from perene.core.ids import Epoch, SessionId
from perene.engine.answers import receipt
from perene.engine.channel import Channel
from perene.engine.client_payload import ClientIdentity, client_payload
from perene.engine.credentials import Credentials
from perene.engine.endpoint import Endpoint
from perene.engine.transport import SocketTransport
from perene.store.store import Store
from perene.wire.node import Node

_VERSION = (2, 3000, 1045649367)
_READY = b"ready\n"


class Blind:
    """The process of one such client, as a contestant."""

    def __init__(self, process: "subprocess.Popen[bytes]", phone: str) -> None:
        self._process = process
        self._phone = phone

    @classmethod
    @contextmanager
    def started(cls, simulator: Simulator, folder: Path) -> Generator["Blind"]:
        """Run the client until the block ends."""
        with Perene.started(simulator, folder) as service:
            phone = service.phones[0]
        command = [sys.executable, "-m", "bench.blind"]
        process = subprocess.Popen(
            [*command, simulator.url, simulator.root_key, str(folder / "data")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with stopping(process):
            assert process.stdout is not None
            if process.stdout.readline() != _READY:
                raise RuntimeError("the client that only acknowledges did not log in")
            yield cls(process, phone)

    @property
    def phones(self) -> Sequence[str]:
        """Its number."""
        return [self._phone]

    @property
    def pids(self) -> Sequence[int]:
        """Its process."""
        return [self._process.pid]

    @property
    def server_pids(self) -> Sequence[int]:
        """Nothing: it keeps nothing."""
        return []

    def received(self) -> int:
        """Return how many messages it has acknowledged."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def memory(self) -> Memory:
        """Return its memory."""
        return memory(self._process.pid)


async def _main(url: str, root_key: str, data: Path) -> None:
    credentials = await _credentials(data)
    channel = await Channel.open(
        await SocketTransport.dial(Endpoint(url=url)),
        static=credentials.noise,
        root_key=bytes.fromhex(root_key),
        payload=client_payload(credentials, ClientIdentity(version=_VERSION)),
        clock=SystemClock(),
        routing_info=None,
        timeout_s=20,
    )
    active = {"id": "1", "xmlns": "passive", "type": "set", "to": "s.whatsapp.net"}
    await channel.send(Node("iq", active, (Node("active"),)))
    count = 0

    def tell() -> None:
        if not sys.stdin.readline():
            sys.exit(0)
        sys.stdout.write(f"{count}\n")
        sys.stdout.flush()

    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), tell)
    sys.stdout.write(_READY.decode())
    sys.stdout.flush()
    while True:
        for node in await channel.receive():
            if node.tag == "message":
                count += 1
                await channel.send(receipt(node, None))


async def _credentials(data: Path) -> Credentials:
    store = await asyncio.to_thread(
        Store.open,
        f"sqlite:///{data / 'perene.db'}",
        clock=SystemClock(),
        key_file=data / "master.key",
    )
    try:
        stored = await store.reader(SessionId("s0"), Epoch(0)).credentials()
    finally:
        await store.close()
    if stored is None:
        raise RuntimeError("the session has no credentials")
    return Credentials.parse(stored)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
