"""A server that refuses old clients with 405 says where the live version is, and takes it."""

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from perene.core.clock import SystemClock
from perene.engine.client_version import VersionUnreachable, fetch_version
from perene.settings import Settings
from perene.sim import SimServer, Simulator, serve
from perene.supervisor.fleet.versions import ClientVersions

OURS = (2, 3000, 1_045_649_367)
REQUIRED = (2, 3000, 1_060_000_001)


class Nowhere:
    """A store that remembers nothing."""

    async def client_version(self, endpoint: str) -> tuple[str, datetime] | None:
        return None

    async def save_client_version(self, endpoint: str, version: str, now: datetime) -> None:
        return None


@pytest.fixture
async def server() -> AsyncIterator[SimServer]:
    running = await serve(Simulator(seed=1))
    yield running
    await running.close()


def versions(server: SimServer) -> ClientVersions:
    page = Settings(endpoint=server.ws_url).version_address
    return ClientVersions(
        store=Nowhere(),
        fetch=lambda: fetch_version(page),
        default=OURS,
        override=None,
        clock=SystemClock(),
        endpoint=server.ws_url,
    )


async def test_the_live_version_is_on_the_host_of_the_endpoint(server: SimServer) -> None:
    server.simulator.require_version(REQUIRED)
    found = versions(server)
    assert await found.refresh(OURS) == REQUIRED
    assert found.current() == REQUIRED


async def test_a_host_that_refuses_to_tell_is_given_up_with_its_status(server: SimServer) -> None:
    async with httpx.AsyncClient(base_url=server.admin_url, trust_env=False) as admin:
        await admin.post("/web-version", json={"status": 503})
    found = versions(server)
    assert await found.refresh(OURS) is None
    assert found.problem is not None
    assert "status 503" in found.problem
    assert "PERENE_CLIENT_VERSION" in found.problem


async def test_tls_is_checked_on_the_way_to_the_version(tmp_path: Path) -> None:
    running = await serve(Simulator(seed=1), tls=True)
    page = Settings(endpoint=running.ws_url).version_address
    authority = tmp_path / "ca.pem"
    authority.write_bytes(running.simulator.certificate or b"")
    with pytest.raises(VersionUnreachable):
        await fetch_version(page)
    trusted = await fetch_version(page, ca_file=str(authority))
    assert trusted == await fetch_version(page, tls_verify=False)
    await running.close()
