"""Every refusal is a problem that names what is wrong and says what to do."""

import json

import httpx
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from perene.api import create_app
from perene.core.errors import StorageUnavailable, UnreadableState
from perene.core.ids import SessionId
from perene.supervisor.ports import SessionView
from tests.unit.api.fakes import KEY, Fakes

SEND = "/v1/sessions/one/messages"


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "field", "location"),
    [
        ("POST", "/v1/sessions", {"id": "Not A Slug"}, {}, "id", "body"),
        ("POST", "/v1/sessions", {"id": "x" * 65}, {}, "id", "body"),
        ("POST", "/v1/sessions", {"name": ""}, {}, "name", "body"),
        ("POST", "/v1/sessions", {"name": "a\nb"}, {}, "name", "body"),
        ("POST", "/v1/sessions", {"nmae": "x"}, {}, "nmae", "body"),
        ("POST", "/v1/sessions", {"start": "maybe"}, {}, "start", "body"),
        ("POST", "/v1/sessions", {"options": {"proxy": "ftp://x"}}, {}, "options.proxy", "body"),
        ("POST", "/v1/sessions", {"options": {"proxy": "http://"}}, {}, "options.proxy", "body"),
        ("POST", "/v1/sessions", {"options": {"proxy": "http://[/"}}, {}, "options.proxy", "body"),
        ("POST", "/v1/sessions", {"start": 0}, {}, "start", "body"),
        ("POST", "/v1/sessions", {"start": "no"}, {}, "start", "body"),
        (
            "POST",
            "/v1/sessions",
            {"options": {"query_timeout_s": True}},
            {},
            "options.query_timeout_s",
            "body",
        ),
        (
            "POST",
            "/v1/sessions",
            {"options": {"query_timeout_s": "5"}},
            {},
            "options.query_timeout_s",
            "body",
        ),
        ("POST", "/v1/sessions", [], {}, "body", "body"),
        ("POST", "/v1/sessions", None, {}, "body", "body"),
        ("GET", "/v1/sessions/Not%20A%20Slug", None, {}, "session_id", "path"),
        ("GET", "/v1/sessions/one/qr?format=gif", None, {}, "format", "query"),
        ("GET", "/v1/sessions/one/qr?wait_s=3600", None, {}, "wait_s", "query"),
        ("GET", "/v1/sessions/one/qr?wait_s=nan", None, {}, "wait_s", "query"),
        ("POST", "/v1/sessions/one/pairing-code", {"phone": "12"}, {}, "phone", "body"),
        ("POST", "/v1/sessions/one/pairing-code", {}, {}, "phone", "body"),
        ("POST", SEND, {"to": "nobody", "text": "a"}, {}, "to", "body"),
        ("POST", SEND, {"to": "5511999990000:2@s.whatsapp.net", "text": "a"}, {}, "to", "body"),
        ("POST", SEND, {"to": "5511999990000"}, {}, "text", "body"),
        ("POST", SEND, {"to": "5511999990000", "text": ""}, {}, "text", "body"),
        ("POST", SEND, {"to": "5511999990000", "text": "a\0b"}, {}, "text", "body"),
        ("POST", SEND, {"to": "5511999990000", "text": "\ud800"}, {}, "text", "body"),
        ("POST", SEND, {"to": "5511999990000", "text": "x" * 65537}, {}, "text", "body"),
        ("POST", SEND, {"to": 5511999990000, "text": "x"}, {}, "to", "body"),
        (
            "POST",
            SEND,
            {"to": "5511999990000", "text": "a"},
            {"Idempotency-Key": "x" * 256},
            "Idempotency-Key",
            "header",
        ),
        ("GET", SEND + "?limit=0", None, {}, "limit", "query"),
        ("GET", SEND + "?limit=many", None, {}, "limit", "query"),
        ("GET", SEND + "?order=up", None, {}, "order", "query"),
        ("GET", SEND + "?chat=x", None, {}, "chat", "query"),
        ("GET", SEND + "?cursor=%00", None, {}, "cursor", "query"),
        ("GET", SEND + "?cursor=made-up", None, {}, "cursor", "request"),
        ("GET", SEND + "/a%20b", None, {}, "message_id", "path"),
        ("GET", "/v1/events?after=-1", None, {}, "after", "query"),
        ("GET", "/v1/events?type=message.eaten", None, {}, "type.0", "query"),
        ("GET", "/v1/events?session=X", None, {}, "session", "query"),
        ("GET", "/v1/events", None, {"Last-Event-ID": "abc"}, "Last-Event-ID", "header"),
    ],
)
async def test_a_wrong_field_is_named(
    client: httpx.AsyncClient,
    fakes: Fakes,
    method: str,
    path: str,
    body: object,
    headers: dict[str, str],
    field: str,
    location: str,
):
    fakes.gateway.add("one")
    content = None if body is None else json.dumps(body).encode()
    response = await client.request(
        method, path, content=content, headers={"Content-Type": "application/json"} | headers
    )
    assert response.status_code == 422, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["code"] == "invalid_request"
    assert problem["remedy"]
    assert (field, location) in [(e["field"], e["location"]) for e in problem["errors"]]
    assert all(e["message"] for e in problem["errors"])
    assert fakes.gateway.calls == []


async def test_a_parameter_with_one_value_is_refused_twice(client: httpx.AsyncClient):
    response = await client.get("/v1/alerts?session=one&state=all&session=two&other=1&other=2")
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {"field": "session", "location": "query", "message": "Give it once: it has one value."}
    ]
    events = "/v1/events?format=json&type=session.connected&type=session.deaf"
    assert (await client.get(events)).status_code == 200


@pytest.mark.parametrize(
    "content", [b"{", b"\xff\xfe", b"[" * 100_000, b'{"to": 1' + b"0" * 5000 + b"}"]
)
async def test_what_is_not_json_is_told_so(client: httpx.AsyncClient, content: bytes):
    response = await client.post(
        SEND, content=content, headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 422
    assert "body" in {e["field"] for e in response.json()["errors"]}


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_above_the_limit_is_413(client: httpx.AsyncClient, announced: bool):
    async def pieces():
        for _ in range(20):
            yield b" " * 100_000

    content = b" " * 2_000_000 if announced else pieces()
    response = await client.post(SEND, content=content)
    assert response.status_code == 413
    assert response.json()["code"] == "body_too_large"


async def test_an_unknown_address_is_a_problem_too(client: httpx.AsyncClient):
    response = await client.get("/v1/nothing")
    assert (response.status_code, response.json()["code"]) == (404, "no_such_route")


async def test_a_wrong_method_names_the_right_ones(client: httpx.AsyncClient):
    response = await client.put("/v1/sessions/one/start")
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    for path, allowed in (("/v1/sessions", "GET, POST"), ("/v1/sessions/one", "GET, DELETE")):
        assert (await client.put(path)).headers["allow"] == allowed


async def test_json_that_does_not_say_so_is_told_how_to(client: httpx.AsyncClient):
    for kind in ("application/x-www-form-urlencoded", ""):
        response = await client.post(
            "/v1/sessions", content=b'{"id": "desk"}', headers={"Content-Type": kind}
        )
        assert response.status_code == 422
        [error] = response.json()["errors"]
        assert "Content-Type: application/json" in error["message"]


async def test_an_unavailable_database_is_503_and_worth_another_try(
    client: httpx.AsyncClient, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
):
    async def fail() -> tuple[SessionView, ...]:
        raise StorageUnavailable("The database does not answer.")

    monkeypatch.setattr(fakes.gateway, "list_sessions", fail)
    response = await client.get("/v1/sessions")
    assert (response.status_code, response.json()["code"]) == (503, "storage_unavailable")
    assert int(response.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    "error", [RuntimeError("secret at 10.0.0.1"), UnreadableState("secret at 10.0.0.1")]
)
async def test_an_unknown_error_is_500_with_a_reference_and_nothing_else(
    client: httpx.AsyncClient,
    fakes: Fakes,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
):
    async def fail(session: SessionId) -> SessionView:
        raise error

    monkeypatch.setattr(fakes.gateway, "session", fail)
    with capture_logs() as lines:
        response = await client.get("/v1/sessions/one")
    assert response.status_code == 500
    assert "secret" not in response.text
    (line,) = lines
    assert line["event"] == "request_failed"
    assert line["reference"] == response.json()["reference"]
    assert line["exc_info"] is error


async def test_the_limit_of_a_body_can_be_set(fakes: Fakes):
    app: FastAPI = create_app(fakes.ports(), max_body_bytes=1024)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://x", headers={"X-Api-Key": KEY}
    ) as client:
        response = await client.post("/v1/sessions", content=b" " * 1025)
    assert response.status_code == 413
