"""The bare cost of logging in: handshake, login and two queries on the wire, and nothing else.

    python -m bench.bare URL ROOT_KEY CREDENTIALS AT_ONCE CA_FILE

CREDENTIALS holds the credentials of a Perene session in each line, in hex; CA_FILE is "" unless the
server speaks TLS. Socket, handshake and codec are the engine's own; nothing is stored, and no
stanza but the login's is looked at. It prints the seconds from the first dial to the last login. It
imports no more than that takes, because its own start counts, too.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from perene.core.clock import SystemClock
from perene.engine.channel import Channel
from perene.engine.client_payload import ClientIdentity, client_payload
from perene.engine.credentials import Credentials
from perene.engine.endpoint import Endpoint
from perene.engine.transport import SocketTransport
from perene.wire.node import Node

_VERSION = (2, 3000, 1045649367)
_SERVER = "s.whatsapp.net"
_QUERIES = (
    Node("iq", {"id": "1", "xmlns": "encrypt", "type": "get", "to": _SERVER}, (Node("count"),)),
    Node("iq", {"id": "2", "xmlns": "passive", "type": "set", "to": _SERVER}, (Node("active"),)),
)


async def _main(
    endpoint: Endpoint, root_key: bytes, credentials: Sequence[bytes], at_once: int
) -> None:
    clock = SystemClock()
    places = asyncio.Semaphore(at_once)
    channels: list[Channel] = []

    async def log_in(stored: bytes) -> None:
        async with places:
            own = Credentials.parse(stored)
            channel = await Channel.open(
                await SocketTransport.dial(endpoint),
                static=own.noise,
                root_key=root_key,
                payload=client_payload(own, ClientIdentity(version=_VERSION)),
                clock=clock,
                routing_info=own.routing_info,
                timeout_s=60,
            )
            channels.append(channel)
            await _answer(channel, "success", None)
            for query in _QUERIES:
                await channel.send(query)
                await _answer(channel, "iq", query.attr("id"))

    began = time.monotonic()
    await asyncio.gather(*(log_in(stored) for stored in credentials))
    sys.stdout.write(f"{time.monotonic() - began}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


async def _answer(channel: Channel, tag: str, number: str | None) -> None:
    while True:
        for node in await channel.receive():
            if node.tag == tag and (number is None or node.attrs.get("id") == number):
                return


if __name__ == "__main__":
    lines = Path(sys.argv[3]).read_text().splitlines()
    asyncio.run(
        _main(
            Endpoint(url=sys.argv[1], ca_file=sys.argv[5] or None),
            bytes.fromhex(sys.argv[2]),
            [bytes.fromhex(line) for line in lines],
            int(sys.argv[4]),
        )
    )
