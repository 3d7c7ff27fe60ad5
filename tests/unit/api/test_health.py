"""Health over HTTP."""

import httpx
import pytest

from perene.api import create_app
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


async def test_every_route_is_summed_up_in_words(client: httpx.AsyncClient):
    paths = (await client.get("/openapi.json")).json()["paths"]
    routes = [route for methods in paths.values() for route in methods.values()]
    assert [route for route in routes if route["summary"].istitle()] == []
    code = paths["/v1/sessions/{session_id}/qr"]["get"]
    assert code["summary"].startswith("Show the QR code to scan now")


@pytest.mark.requirement("C16")
async def test_detailed_health_shows_every_connection_and_every_component(
    client: httpx.AsyncClient,
):
    body = (await client.get("/health/detailed")).json()
    assert body["status"] == "ok"
    assert [part["name"] for part in body["components"]] == ["database", "disk"]
    assert body["sessions"] == [
        {
            "id": "one",
            "connection": "waiting",
            "connected_at": None,
            "alive_at": "2026-05-01T12:00:00Z",
            "cause": "dns",
            "attempt": 2,
            "limit": 30,
            "retry_at": "2026-05-01T12:00:05Z",
            "outage_began_at": "2026-05-01T12:00:00Z",
            "deaf_suspicions": 0,
        }
    ]


async def test_detailed_health_is_an_answer_even_when_a_part_is_not_well(
    client: httpx.AsyncClient, fakes: Fakes
):
    fakes.health.database_ok = False
    response = await client.get("/health/detailed")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")


@pytest.mark.parametrize("path", ["/health/detailed", "/metrics"])
async def test_details_and_metrics_ask_for_a_key(client: httpx.AsyncClient, path: str):
    for key in ("", "pk_wrong"):
        response = await client.get(path, headers={"X-Api-Key": key})
        assert (response.status_code, response.json()["code"]) == (401, "unauthorized")


async def test_metrics_are_told_in_the_form_that_prometheus_reads(client: httpx.AsyncClient):
    response = await client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "perene_sessions 1.0" in response.text


async def test_public_metrics_need_no_key_and_open_nothing_else(fakes: Fakes):
    app = create_app(fakes.ports(), metrics_public=True)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://perene"
    ) as nobody:
        assert (await nobody.get("/metrics")).status_code == 200
        assert (await nobody.get("/health/detailed")).status_code == 401
        assert (await nobody.get("/v1/sessions")).status_code == 401


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/health/detailed", "/v1/sessions"])
async def test_head_is_answered_as_get_without_the_body(client: httpx.AsyncClient, path: str):
    shown, head = await client.get(path), await client.head(path)
    assert (head.status_code, head.content) == (shown.status_code, b"")
    assert head.headers["content-length"] == shown.headers["content-length"]


async def test_head_needs_the_key_that_get_needs_and_opens_no_stream(client: httpx.AsyncClient):
    for path in ("/health/detailed", "/v1/sessions"):
        answer = await client.head(path, headers={"X-Api-Key": "pk_wrong"})
        assert (answer.status_code, answer.content) == (401, b"")
    assert (await client.head("/v1/events")).status_code == 405


async def test_readiness_is_told_to_head_too(client: httpx.AsyncClient, fakes: Fakes):
    fakes.health.database_ok = False
    assert (await client.head("/health/ready")).status_code == 503
