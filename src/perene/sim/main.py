"""The command `perene sim`."""

import asyncio
import signal
import sys
from pathlib import Path

from perene.crypto import KeyPair
from perene.sim.server import SimServer, serve
from perene.sim.simulator import Simulator
from perene.sim.world import Settings

_TEXT = """\
The simulator listens.
  WebSocket   {ws}
  admin API   {admin} (described at {admin}/docs)
  root key    {root}

With Baileys 7: makeWASocket({{ waWebSocketUrl: '{ws}', ... }}), then post each QR it shows:
  curl --data-binary @qr.txt {admin}/mock-phone/scan-qr
With Perene: PERENE_ENDPOINT={ws} PERENE_NOISE_ROOT_KEY={root} perene serve
Every route and fault is in docs/how-to/simulator.md. Ctrl-C ends it.
"""


async def main(
    host: str = "127.0.0.1",
    port: int = 8081,
    *,
    tls: bool = False,
    root_key_file: Path | None = None,
    seed: int | None = None,
    auto_contacts: bool = False,
) -> None:
    """Run a simulator until SIGTERM, SIGINT or cancellation.

    `root_key_file` holds the private root key as 64 hex digits; it is made if it does not exist, so
    that clients can go on trusting the same root after a restart. Raises OSError if the port is
    taken, ValueError for a file that holds no key.
    """
    root = read_root(root_key_file) if root_key_file else None
    simulator = Simulator(seed=seed, root=root, settings=Settings(auto_contacts=auto_contacts))
    server = await serve(simulator, host, port, tls=tls)
    sys.stdout.write(describe(server))
    sys.stdout.flush()
    try:
        await _until_told()
    finally:
        await server.close()


def describe(server: SimServer) -> str:
    """Return what somebody needs to use a simulator that listens."""
    return _TEXT.format(ws=server.ws_url, admin=server.admin_url, root=server.root_key.hex())


def read_root(path: Path) -> KeyPair:
    """Read a root key pair from a file, or make one and write it there."""
    if not path.exists():
        pair = KeyPair.generate()
        path.touch(mode=0o600)
        path.write_text(pair.private.hex() + "\n")
        return pair
    private = bytes.fromhex(path.read_text())
    if len(private) != 32:
        raise ValueError(f"{path} does not hold a key of 64 hex digits")
    return KeyPair.from_private(private)


async def _until_told() -> None:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, told.set)
    try:
        await told.wait()
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
