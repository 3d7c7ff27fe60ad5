"""The API's listening socket, when the system has no descriptor left, and when many come."""

import asyncio
import contextlib
import errno
import socket
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from perene.api import HttpServer, create_app
from perene.api.listening import listening_socket
from tests.unit.api.fakes import Fakes


def server(fakes: Fakes, *, most: int | None = None) -> HttpServer:
    app = create_app(fakes.ports())
    return HttpServer(app, host="127.0.0.1", port=0, streams=fakes.streams, most_connections=most)


class System:
    """Gives no descriptor for a connection until it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.exhausted = True
        self.asked = 0
        inner = socket.socket.accept

        def accept(listening: socket.socket) -> tuple[socket.socket, Any]:
            self.asked += 1
            if self.exhausted:
                raise OSError(errno.EMFILE, "Too many open files")
            return inner(listening)

        monkeypatch.setattr(socket.socket, "accept", accept)


@pytest.mark.requirement("C1")
async def test_a_connection_that_cannot_be_taken_is_asked_for_once_a_second_not_in_a_storm(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = asyncio.Queue[str]()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.put_nowait(context["message"]))
    http = server(fakes)
    port = await http.start()
    system = System(monkeypatch)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        answering = asyncio.create_task(client.get("/health"))
        for _ in range(2):
            assert "out of system resource" in await told.get()
        assert told.empty()
        assert system.asked == 2
        system.exhausted = False
        assert (await answering).status_code == 200, "it has waited, and is taken now"
    await http.stop()


async def test_more_connections_than_there_are_descriptors_for_are_refused_and_told(
    fakes: Fakes,
) -> None:
    http = server(fakes, most=3)
    port = await http.start()
    async with contextlib.AsyncExitStack() as held:
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        for _, writer in idle:
            held.callback(writer.close)
        with capture_logs() as lines:
            for _ in range(2):
                refused, writer = await asyncio.open_connection("127.0.0.1", port)
                held.callback(writer.close)
                answer = await refused.read()
                assert answer.startswith(b"HTTP/1.1 503 ")
        assert [(line["event"], line["limit"]) for line in lines] == [
            ("api_connections_refused", 3)
        ]
        reader, writer = idle.pop()
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            assert (await client.get("/health")).status_code == 200, "one has made room"
    await http.stop()


def test_any_number_is_taken_where_there_is_no_limit() -> None:
    with listening_socket("127.0.0.1", 0) as listening, contextlib.ExitStack() as held:
        for _ in range(20):
            held.enter_context(socket.create_connection(listening.getsockname()))
            held.enter_context(listening.accept()[0])


@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("::", {"127.0.0.1", "::1"}),
        ("0.0.0.0", {"127.0.0.1"}),  # noqa: S104  # what is tried
        ("::1", {"::1"}),
        ("127.0.0.1", {"127.0.0.1"}),
        ("a-name-of-both", {"127.0.0.1"}),
        ("a-name-of-ipv6", {"::1"}),
    ],
)
def test_a_host_stands_for_the_addresses_that_it_names(
    host: str, reached: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"a-name-of-both": ["::1", "127.0.0.1"], "a-name-of-ipv6": ["::1"]}
    look_up = socket.getaddrinfo

    def found(name: str, *question: Any, **more: Any) -> list[Any]:
        return [
            one
            for address in names.get(name, [name])
            for one in look_up(address, *question, **more)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    bind = socket.socket.bind

    def bound(one: socket.socket, address: tuple[str, int]) -> None:
        """Bind by name as the system does, which knows other names."""
        mine = [at for at in names.get(address[0], address[:1]) if (":" in at) == _is_six(one)]
        bind(one, (mine[0], address[1]))

    monkeypatch.setattr(socket.socket, "bind", bound)
    with listening_socket(host, 0) as listening:
        port = listening.getsockname()[1]
        assert {at for at in ("127.0.0.1", "::1") if _answers(at, port)} == reached


def _is_six(one: socket.socket) -> bool:
    return one.family == socket.AF_INET6


def _answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=10).close()
    except ConnectionRefusedError:
        return False
    return True


def test_an_address_needs_no_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*question: object, **more: object) -> None:
        raise AssertionError("an address was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", asked)
    for host in ("127.0.0.1", "::1", "::"):
        listening_socket(host, 0).close()
