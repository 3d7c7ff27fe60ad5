"""A simulator, people with Baileys, and a Perene service: one of each for a module's tests.

The tests of a module share them, so each asserts only on what came after it began, and none cares
what was said before.
"""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from perene.sim import SimServer, Simulator, serve
from tests.interop.baileys import BaileysClient
from tests.interop.people import People, link_to_phone
from tests.support.gateway import Gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncGenerator[SimServer]:
    """A simulator that listens; at the end it must not have seen a message key twice."""
    server = await serve(Simulator())
    yield server
    await server.close()
    assert server.simulator.evidence.reused_keys == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def people(
    server: SimServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[People]:
    async with People(server, tmp_path_factory.mktemp("people")) as people:
        yield people


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ana(people: People) -> BaileysClient:
    return await people.join("Ana")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bruno(people: People) -> BaileysClient:
    return await people.join("Bruno")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(
    server: SimServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Gateway]:
    folder = tmp_path_factory.mktemp("perene")
    async with Gateway.started(folder, endpoint=server.ws_url, root_key=server.root_key) as gateway:
        yield gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(gateway: Gateway, server: SimServer) -> str:
    """A session of the service, paired by QR code and connected; its id."""
    await gateway.create_session("desk")
    link_to_phone(server.simulator, await gateway.qr_text("desk"))
    await gateway.events.wait("session.connected", session="desk")
    return "desk"
