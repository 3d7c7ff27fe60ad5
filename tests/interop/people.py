"""People with a phone in the simulator and a Baileys client linked to it."""

from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from perene.sim import SimServer, Simulator
from tests.interop.baileys import BaileysClient


class People:
    """Baileys clients of one simulator, each on an account of its own; all end with the block."""

    def __init__(self, server: SimServer, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def join(self, name: str, phone: str | None = None) -> BaileysClient:
        """Start a client, link it to a phone, and return it logged in.

        Without a number the phone is that of whoever has this name.
        """
        simulator = self._server.simulator
        client = await self._stack.enter_async_context(
            BaileysClient.started(
                self._server.ws_url,
                self._folder / name,
                push_name=name,
                root_key=self._server.root_key,
            )
        )
        await client.pair(lambda qr: link_to_phone(simulator, qr, phone))
        return client


def link_to_phone(simulator: Simulator, qr: str, phone: str | None = None) -> None:
    """Show a QR text to a phone, which from then on sends its companions nothing a second time.

    What a companion cannot read it must get from the sender, or a test of that shows nothing.
    """
    device = simulator.scan_qr(qr, phone)
    simulator.person(device.account.phone).phone.resends = False
