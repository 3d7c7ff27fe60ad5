"""Sessions over HTTP."""

import httpx
import pytest

from perene.api import terminal_qr
from perene.core.ids import SessionId
from tests.unit.api.fakes import QR, Fakes


async def test_a_session_is_created_and_started(client: httpx.AsyncClient, fakes: Fakes):
    response = await client.post("/v1/sessions", json={})
    assert response.status_code == 201
    body = response.json()
    assert response.headers["location"] == f"/v1/sessions/{body['id']}"
    assert body["desired"] == "running"
    assert body["paired"] is False
    assert list(fakes.gateway.sessions) == [body["id"]]


async def test_a_session_takes_what_its_creator_says(client: httpx.AsyncClient):
    asked = {
        "id": "sales-desk",
        "name": "Sales",
        "start": False,
        "options": {"history_sync": False, "proxy": "http://me:hunter2@10.0.0.1:1080"},
    }
    body = (await client.post("/v1/sessions", json=asked)).json()
    assert (body["id"], body["name"], body["desired"]) == ("sales-desk", "Sales", "stopped")
    assert body["options"] == {
        "history_sync": False,
        "mark_online": None,
        "query_timeout_s": None,
        "proxy": "http://***@10.0.0.1:1080",
    }


async def test_an_id_can_be_used_once(client: httpx.AsyncClient):
    await client.post("/v1/sessions", json={"id": "one"})
    response = await client.post("/v1/sessions", json={"id": "one"})
    assert response.status_code == 409
    assert response.json()["code"] == "already_exists"


async def test_sessions_are_listed_and_shown(client: httpx.AsyncClient, fakes: Fakes):
    fakes.gateway.add("one")
    fakes.gateway.add("two", paired=False)
    items = (await client.get("/v1/sessions")).json()["items"]
    assert [item["id"] for item in items] == ["one", "two"]
    assert (await client.get("/v1/sessions/one")).json() == items[0]
    assert items[0]["phone"] == "5511999990000"
    assert items[0]["connection"] == "open"


async def test_a_session_is_stopped_started_and_deleted(client: httpx.AsyncClient, fakes: Fakes):
    fakes.gateway.add("one")
    assert (await client.post("/v1/sessions/one/stop")).json()["desired"] == "stopped"
    assert (await client.post("/v1/sessions/one/start")).json()["desired"] == "running"
    response = await client.delete("/v1/sessions/one")
    assert (response.status_code, response.content) == (204, b"")
    assert (await client.get("/v1/sessions/one")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/sessions/none"),
        ("DELETE", "/v1/sessions/none"),
        ("POST", "/v1/sessions/none/start"),
        ("POST", "/v1/sessions/none/stop"),
        ("GET", "/v1/sessions/none/qr"),
        ("GET", "/v1/sessions/none/messages"),
        ("GET", "/v1/sessions/none/messages/3EB0"),
        ("GET", "/v1/sessions/none/conversations"),
    ],
)
async def test_an_unknown_session_is_404(client: httpx.AsyncClient, method: str, path: str):
    response = await client.request(method, path)
    assert response.status_code == 404
    assert response.json()["code"] == "not_found"
    assert response.json()["detail"] == "There is no such session."


@pytest.mark.parametrize(
    ("query", "accept", "media_type", "begins"),
    [
        ("", "*/*", "image/png", b"\x89PNG"),
        ("?format=png", "text/plain", "image/png", b"\x89PNG"),
        ("?format=svg", "*/*", "image/svg+xml", b"<?xml"),
        ("", "image/svg+xml", "image/svg+xml", b"<?xml"),
        ("?format=text", "*/*", "text/plain; charset=utf-8", QR.encode()),
        ("", "text/html, text/plain;q=0.5", "text/plain; charset=utf-8", QR.encode()),
        ("?format=terminal", "*/*", "text/plain; charset=utf-8", "█".encode()),
        ("?format=json", "*/*", "application/json", b'{"text":"2@'),
    ],
)
async def test_a_qr_code_comes_in_many_forms(
    client: httpx.AsyncClient, fakes: Fakes, query: str, accept: str, media_type: str, begins: bytes
):
    fakes.gateway.add("one", paired=False)
    fakes.gateway.qr[SessionId("one")] = QR
    response = await client.get(f"/v1/sessions/one/qr{query}", headers={"Accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"] == media_type
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["expires"] == "Fri, 01 May 2026 12:01:00 GMT"
    assert response.content.startswith(begins)


def test_a_terminal_shows_the_modules_of_the_code():
    lines = terminal_qr("2@abc").splitlines()
    assert len({len(line) for line in lines}) == 1
    assert set("".join(lines)) <= set(" ▄▀█")
    assert lines[0] == lines[-1] == "█" * len(lines[0])
    assert lines[2][4:11] == " ▄▄▄▄▄ "  # the finder pattern in the corner


async def test_the_wait_for_a_qr_code_is_the_clients_choice(
    client: httpx.AsyncClient, fakes: Fakes
):
    fakes.gateway.add("one", paired=False)
    response = await client.get("/v1/sessions/one/qr?wait_s=0.5")
    assert (response.status_code, response.json()["code"]) == (409, "pairing_not_ready")
    assert fakes.gateway.waited_s == [0.5]


async def test_what_is_paired_cannot_be_paired(client: httpx.AsyncClient, fakes: Fakes):
    fakes.gateway.add("one")
    for response in (
        await client.get("/v1/sessions/one/qr"),
        await client.post("/v1/sessions/one/pairing-code", json={"phone": "5511999990000"}),
    ):
        assert (response.status_code, response.json()["code"]) == (409, "already_paired")


async def test_a_pairing_code_is_for_one_number(client: httpx.AsyncClient, fakes: Fakes):
    fakes.gateway.add("one", paired=False)
    fakes.gateway.qr[SessionId("one")] = "2@ref"
    response = await client.post("/v1/sessions/one/pairing-code", json={"phone": "+5511999990000"})
    assert response.json() == {"code": "CODE-0000"}


async def test_a_pairing_code_of_a_session_that_has_just_been_made_is_waited_for(
    client: httpx.AsyncClient, fakes: Fakes
):
    fakes.gateway.add("one", paired=False)
    asked = {"phone": "5511999990000"}
    for query in ("", "?wait_s=0.5"):
        response = await client.post(f"/v1/sessions/one/pairing-code{query}", json=asked)
        assert (response.status_code, response.json()["code"]) == (409, "pairing_not_ready")
    assert fakes.gateway.waited_s == [10, 0.5]
