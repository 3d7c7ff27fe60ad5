"""Messages and conversations over HTTP."""

import base64

import httpx
import pytest

from perene.api.addresses import chat, recipient
from perene.core.failures import EXPLANATIONS, Failure, FailureCode
from tests.unit.api.fakes import Fakes

ANA = "5511999990000@s.whatsapp.net"
BIA = "5511999990001@s.whatsapp.net"


@pytest.fixture(autouse=True)
def session(fakes: Fakes) -> None:
    fakes.gateway.add("one")


async def test_a_text_is_accepted_with_an_id(client: httpx.AsyncClient, fakes: Fakes):
    response = await client.post(
        "/v1/sessions/one/messages", json={"to": "+5511999990000", "text": "olá"}
    )
    assert response.status_code == 202
    body = response.json()
    assert (body["chat"], body["text"], body["status"]) == (ANA, "olá", "queued")
    assert "body" not in body
    assert [view.message.key.id for view in fakes.messages.stored["one"]] == [body["id"]]


async def test_the_same_request_under_the_same_key_sends_once(
    client: httpx.AsyncClient, fakes: Fakes
):
    async def send(to: str) -> httpx.Response:
        return await client.post(
            "/v1/sessions/one/messages",
            json={"to": to, "text": "olá"},
            headers={"Idempotency-Key": "order-66"},
        )

    first, second = await send("5511999990000"), await send(ANA)
    assert (first.status_code, second.status_code) == (202, 200)
    assert first.json() == second.json()
    assert len(fakes.messages.stored["one"]) == 1


async def test_another_request_under_the_same_key_is_409(client: httpx.AsyncClient, fakes: Fakes):
    headers = {"Idempotency-Key": "order-66"}
    url = "/v1/sessions/one/messages"
    await client.post(url, json={"to": ANA, "text": "a"}, headers=headers)
    response = await client.post(url, json={"to": ANA, "text": "b"}, headers=headers)
    assert (response.status_code, response.json()["code"]) == (409, "idempotency_conflict")
    assert len(fakes.messages.stored["one"]) == 1


async def test_a_session_that_is_not_paired_cannot_send(client: httpx.AsyncClient, fakes: Fakes):
    fakes.gateway.add("new", paired=False)
    response = await client.post("/v1/sessions/new/messages", json={"to": ANA, "text": "a"})
    assert (response.status_code, response.json()["code"]) == (409, "not_paired")


async def test_pages_follow_each_other_without_a_gap(client: httpx.AsyncClient, fakes: Fakes):
    for number in range(7):
        fakes.messages.add("one", str(number), chat=ANA)
    texts: list[str] = []
    params = {"limit": "3", "order": "asc"}
    while True:
        page = (await client.get("/v1/sessions/one/messages", params=params)).json()
        texts += [item["text"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert texts == list("0123456")


async def test_messages_are_listed_newest_first_and_by_chat(
    client: httpx.AsyncClient, fakes: Fakes
):
    fakes.messages.add("one", "a", chat=ANA)
    fakes.messages.add("one", "b", chat=BIA)
    fakes.messages.add("one", "c", chat=ANA)
    page = (await client.get("/v1/sessions/one/messages?chat=5511999990000")).json()
    assert [item["text"] for item in page["items"]] == ["c", "a"]


async def test_a_single_message_comes_with_its_bytes(client: httpx.AsyncClient, fakes: Fakes):
    fakes.messages.add("one", "olá", chat=ANA, message_id="3EB0AA")
    body = (await client.get("/v1/sessions/one/messages/3EB0AA")).json()
    assert base64.b64decode(body["body"]) == "olá".encode()
    assert body["content"] == {"conversation": "olá"}
    assert body["timestamp"] == "2026-05-01T12:00:00Z"


async def test_an_id_shared_by_two_chats_asks_for_the_chat(client: httpx.AsyncClient, fakes: Fakes):
    fakes.messages.add("one", "a", chat=ANA, message_id="X1")
    fakes.messages.add("one", "b", chat=BIA, message_id="X1")
    response = await client.get("/v1/sessions/one/messages/X1")
    assert (response.status_code, response.json()["code"]) == (409, "ambiguous_message")
    response = await client.get(f"/v1/sessions/one/messages/X1?chat={BIA}")
    assert response.json()["text"] == "b"


async def test_an_unknown_message_is_404(client: httpx.AsyncClient):
    assert (await client.get("/v1/sessions/one/messages/X1")).status_code == 404


async def test_conversations_are_listed(client: httpx.AsyncClient, fakes: Fakes):
    for jid in (ANA, BIA, ANA):
        fakes.messages.add("one", "a", chat=jid)
    page = (await client.get("/v1/sessions/one/conversations")).json()
    assert [item["chat"] for item in page["items"]] == [ANA, BIA]


@pytest.mark.parametrize(
    ("written", "understood"),
    [
        ("5511999990000", ANA),
        ("+5511999990000", ANA),
        ("5511999990000@s.whatsapp.net", ANA),
        ("5511999990000@c.us", ANA),
        ("123456789012345@lid", "123456789012345@lid"),
        ("120363041234567890@g.us", "120363041234567890@g.us"),
        ("5511999990000-1500000000@g.us", "5511999990000-1500000000@g.us"),
    ],
)
def test_a_recipient_is_a_number_or_a_jid(written: str, understood: str):
    assert recipient(written) == understood == chat(written)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "ana",
        "12345",
        "0551199999000",
        "5511999990000:3@s.whatsapp.net",
        "5511999990000@example.org",
        "@s.whatsapp.net",
        "status@broadcast",
        "1234567890123456",
        "5511999990000\n",
        "٥٥١١٩٩٩٩٩٠٠٠٠",
    ],
)
def test_what_is_no_recipient_is_refused(written: str):
    with pytest.raises(ValueError, match=r"give|leave out"):
        recipient(written)


def test_a_chat_can_also_be_a_channel_or_the_status_broadcast():
    assert chat("status@broadcast") == "status@broadcast"
    assert chat("120363041234567890@newsletter") == "120363041234567890@newsletter"


async def test_a_failed_message_says_why_and_what_can_be_done(
    client: httpx.AsyncClient, fakes: Fakes
):
    refused = Failure.of_refusal("463")
    fakes.messages.add("one", "a", chat=ANA, message_id="A", from_me=True, failure=refused)
    fakes.messages.add("one", "b", chat=ANA, message_id="B", from_me=True)
    explained = EXPLANATIONS[FailureCode.TIME_LOCKED]
    expected = {
        "code": "time_locked",
        "server_code": "463",
        "meaning": explained.meaning,
        "remedy": explained.remedy,
    }
    shown = (await client.get("/v1/sessions/one/messages/A")).json()
    assert (shown["status"], shown["failure"]) == ("failed", expected)
    listed = (await client.get("/v1/sessions/one/messages")).json()["items"]
    assert {one["id"]: one["failure"] for one in listed} == {"A": expected, "B": None}
