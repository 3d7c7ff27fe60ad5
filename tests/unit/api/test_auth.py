"""Nothing under /v1 without a key."""

import io

import httpx
import pytest
from fastapi import FastAPI

from perene.api import announce_first_key
from tests.unit.api.fakes import KEY, Fakes


@pytest.fixture
async def stranger(app: FastAPI):
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://perene"
    ) as client:
        yield client


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({}, "The API key is missing."),
        ({"X-Api-Key": "pk_wrong"}, "The API key is not known."),
        ({"X-Api-Key": ""}, "The API key is missing."),
        ({"Authorization": "Bearer pk_wrong"}, "The API key is not known."),
        ({"Authorization": "Basic cGs6cms="}, "The API key is missing."),
        ({"Authorization": "Bearer"}, "The API key is missing."),
    ],
)
@pytest.mark.parametrize("path", ["/v1/sessions", "/v1", "/v1/nothing/here", "/v1/events"])
async def test_without_a_known_key_the_answer_is_401(
    stranger: httpx.AsyncClient, headers: dict[str, str], detail: str, path: str
):
    response = await stranger.get(path, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "unauthorized"
    assert response.json()["detail"] == detail


async def test_the_key_is_looked_at_before_the_body(stranger: httpx.AsyncClient):
    response = await stranger.post("/v1/sessions", content=b"{" * 2_000_000)
    assert response.status_code == 401


@pytest.mark.parametrize(
    "headers", [{"X-Api-Key": KEY}, {"Authorization": f"Bearer {KEY}"}, {"X-Api-Key": f" {KEY} "}]
)
async def test_either_header_takes_the_key(stranger: httpx.AsyncClient, headers: dict[str, str]):
    assert (await stranger.get("/v1/sessions", headers=headers)).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/openapi.json", "/docs"])
async def test_health_and_documents_need_no_key(stranger: httpx.AsyncClient, path: str):
    assert (await stranger.get(path)).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/health/detailed", 200),
        ("/metrics", 200),
        ("/v1/alerts", 200),
        ("/v1/alerts?state=open", 200),
        ("/v1/alerts?state=all", 503),
        ("/v1/alerts?state=open&state=all", 503),
        ("/v1/sessions", 200),
        ("/v1/sessions/one", 200),
        ("/v1/sessions/one/outages", 503),
        ("/v1/sessions/one/qr", 503),
        ("/v1/sessions/one/messages", 503),
        ("/v1/events?after=0&format=json", 503),
    ],
)
async def test_a_key_that_is_remembered_passes_where_memory_answers_and_nowhere_else(
    client: httpx.AsyncClient, fakes: Fakes, path: str, status: int
):
    fakes.gateway.add("one")
    fakes.keys.away = True
    response = await client.get(path)
    assert response.status_code == status
    for wrong in ("", "pk_wrong"):
        refused = await client.get(path, headers={"X-Api-Key": wrong})
        assert refused.status_code in (401, 503)


@pytest.mark.parametrize(
    "path",
    ["/health/detailed", "/metrics", "/v1/alerts", "/v1/sessions", "/v1/sessions/one"],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_a_key_that_is_remembered_is_good_for_reading_only(
    client: httpx.AsyncClient, fakes: Fakes, path: str, method: str
):
    fakes.keys.away = True
    assert (await client.request(method, path)).status_code == 503


def test_the_first_key_is_announced_once_in_full():
    out = io.StringIO()
    announce_first_key("pk_new", out)
    assert out.getvalue().count("pk_new") == 1
