"""Health over HTTP."""

import httpx
import pytest

from tests.unit.api.fakes import Fakes


async def test_health_tells_the_parts(client: httpx.AsyncClient):
    body = (await client.get("/health")).json()
    assert body["status"] == "ok"
    assert body["components"] == [{"name": "database", "ok": True, "detail": None}]
    assert body["sessions"] == {"open": 1}


@pytest.mark.parametrize(("path", "status"), [("/health", 200), ("/health/ready", 503)])
async def test_a_service_without_database_is_alive_but_not_ready(
    client: httpx.AsyncClient, fakes: Fakes, path: str, status: int
):
    fakes.health.database_ok = False
    response = await client.get(path)
    assert (response.status_code, response.json()["status"]) == (status, "degraded")


async def test_the_documentation_needs_no_other_host(client: httpx.AsyncClient):
    page = (await client.get("/docs")).text
    assert "http://" not in page
    assert "https://" not in page
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png", "LICENSE"):
        assert (await client.get(f"/static/swagger-ui/{name}")).status_code == 200
    assert '"validatorUrl": null' in page
