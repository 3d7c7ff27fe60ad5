"""The live version, read out of what the web client's host answers."""

import asyncio
import json
import string
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perene.engine.client_version import (
    MAX_PAGE_BYTES,
    VersionNotFound,
    VersionUnreachable,
    fetch_version,
    parse_version,
)
from tests.support.listening import listening

SCRIPT = 'self.data=JSON.parse("{\\"x\\":{\\"server_revision\\":8,\\"client_revision\\":71}}");'


@pytest.mark.parametrize(
    "text",
    [
        SCRIPT,
        '{"client_revision":71,"a":1}',
        '{"client_revision": 71}',
        "client_revision:71;",
        'x={"client_revision" : "71"}',
        'first {"client_revision":71} then {"client_revision":72}',
    ],
)
def test_the_client_revision_is_the_last_number_of_the_version(text: str) -> None:
    assert parse_version(text) == (2, 3000, 71)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>Update your browser</html>",
        '{"server_revision":71}',
        '{"other_client_revision":71}',
        '{"client_revision":null}',
        '{"client_revision":-71}',
        '{"client_revision":0}',
        '{"client_revision":4294967296}',
        '{"client_revision":12345678901}',
        '{"client_revision":"\N{ARABIC-INDIC DIGIT SEVEN}"}',
        'client_revision":71'.rjust(MAX_PAGE_BYTES + 1),
    ],
)
def test_a_page_without_a_usable_revision_is_refused(text: str) -> None:
    with pytest.raises(VersionNotFound) as refused:
        parse_version(text)
    assert "PERENE_CLIENT_VERSION" in refused.value.remedy


@given(
    revision=st.integers(1, 2**32 - 1),
    before=st.text(string.printable, max_size=50),
    after=st.text(string.printable, max_size=50),
)
def test_a_revision_is_found_between_anything(revision: int, before: str, after: str) -> None:
    data = json.dumps({"site": {"client_revision": revision}})
    assert parse_version(f"{before} {data} {after}") == (2, 3000, revision)
    assert parse_version(f"{before} {json.dumps(data)} {after}") == (2, 3000, revision)


@given(st.lists(st.sampled_from(["client_revision", '"', "\\", ":", " ", "7", "x"])))
def test_no_text_does_anything_but_name_a_version_or_be_refused(pieces: list[str]) -> None:
    try:
        major, minor, revision = parse_version("".join(pieces))
    except VersionNotFound:
        return
    assert (major, minor) == (2, 3000)
    assert 0 < revision < 2**32


def test_a_hostile_page_is_read_in_no_time() -> None:
    with pytest.raises(VersionNotFound):
        parse_version(("client_revision" + "\\" * 20 + " " * 20) * 50_000)


Reply = Callable[[str], bytes | None]
"""Makes the answer to a request's head; None gives none."""


@asynccontextmanager
async def serving(reply: Reply) -> AsyncGenerator[str]:
    """A web server of the test's own."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = reply((await reader.readuntil(b"\r\n\r\n")).decode())
        if said is None:
            await reader.read()  # until the client gives up
        else:
            writer.write(said)
            await writer.drain()

    async with listening(answer) as port:
        yield f"http://127.0.0.1:{port}"


def page(body: bytes, *, status: str = "200 OK", more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nConnection: close\r\n{more}\r\n"
    return head.encode() + body


async def test_the_page_is_asked_for_as_a_browser_does() -> None:
    heads: list[str] = []

    def reply(head: str) -> bytes:
        heads.append(head.lower())
        return page(SCRIPT.encode())

    async with serving(reply) as origin:
        assert await fetch_version(f"{origin}/sw.js") == (2, 3000, 71)
    (head,) = heads
    assert head.startswith("get /sw.js http/1.1\r\n")
    assert "sec-fetch-site: none" in head
    assert "user-agent: mozilla/5.0" in head
    assert "accept-encoding: identity" in head


async def test_a_redirect_is_followed_on_the_same_host() -> None:
    def reply(head: str) -> bytes:
        if head.startswith("GET /new"):
            return page(SCRIPT.encode())
        return page(b"", status="302 Found", more="Location: /new\r\n")

    async with serving(reply) as origin:
        assert await fetch_version(f"{origin}/old") == (2, 3000, 71)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (page(b"", status="503 Service Unavailable"), "status 503"),
        (page(b"", status="302 Found", more="Location: http://127.0.0.2/\r\n"), "another place"),
        (page(b"", status="302 Found", more="Location: ftp://127.0.0.1/\r\n"), "another place"),
        (page(b"", status="302 Found", more="Location: /again\r\n"), "without end"),
        (b"220 ESMTP\r\n\r\n", "RemoteProtocolError"),
        (b"", "RemoteProtocolError"),
    ],
)
async def test_what_is_no_page_is_told(answer: bytes, problem: str) -> None:
    async with serving(lambda _: answer) as origin:
        with pytest.raises(VersionUnreachable, match=problem):
            await fetch_version(f"{origin}/sw.js")


async def test_a_page_without_end_is_read_up_to_its_limit() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(page(b""))
        while True:
            writer.write(bytes(64 * 1024))
            await writer.drain()

    async with listening(answer) as port:
        with pytest.raises(VersionNotFound, match=f"larger than {MAX_PAGE_BYTES} bytes"):
            await fetch_version(f"http://127.0.0.1:{port}/sw.js")


async def test_a_compressed_page_is_not_unfolded() -> None:
    packed = page(b"\x1f\x8b", more="Content-Encoding: gzip\r\n")
    async with serving(lambda _: packed) as origin:
        with pytest.raises(VersionNotFound, match="compressed"):
            await fetch_version(f"{origin}/sw.js")


async def test_a_page_that_does_not_come_is_not_waited_for() -> None:
    async with serving(lambda _: None) as origin:
        with pytest.raises(VersionUnreachable, match="in time"):
            await fetch_version(f"{origin}/sw.js", timeout_s=0.3)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://example.org/", "sw.js"])
async def test_only_the_web_is_asked(url: str) -> None:
    with pytest.raises(VersionUnreachable, match="neither http nor https"):
        await fetch_version(url)


async def test_a_proxys_password_is_not_told() -> None:
    with pytest.raises(VersionUnreachable) as refused:
        await fetch_version("http://127.0.0.1:9/", proxy="http://me:hunter2@127.0.0.1:9")
    assert "hunter2" not in str(refused.value)


async def test_the_proxy_that_is_set_is_used_and_the_environment_is_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heads: list[str] = []

    def reply(head: str) -> bytes:
        heads.append(head)
        return page(SCRIPT.encode())

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with serving(reply) as proxy:
        found = await fetch_version("http://chat.invalid/sw.js", proxy=proxy)
        assert found == await fetch_version(f"{proxy}/sw.js") == (2, 3000, 71)
    assert heads[0].startswith("GET http://chat.invalid/sw.js")
