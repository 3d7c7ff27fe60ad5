"""API keys: showing the first one, and the layer that asks for one."""

import sys
from collections.abc import Callable, Collection
from typing import TextIO, cast

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from perene.api.ports import ports_of
from perene.api.problems import Unauthorized, problem_response
from perene.core.errors import StorageUnavailable
from perene.supervisor.ports import Caller

PROTECTED = "/v1"
DETAILED_HEALTH = "/health/detailed"
METRICS = "/metrics"

ToldFromMemory = Callable[[str, QueryParams], bool]
"""Tells of a path and its query whether a GET is answered from memory, if need be."""

# These only describe the two ways in the OpenAPI document; `KeyRequired` does the work, so that
# nothing of a request is read or told before its key was seen.
documentation = [
    Security(APIKeyHeader(name="X-Api-Key", auto_error=False, description="An API key.")),
    Security(HTTPBearer(auto_error=False, description="The same API key.")),
]


def announce_first_key(key: str, out: TextIO | None = None) -> None:
    """Show the key that was made on first start, the only time that anybody can read it.

    It goes to standard output, never through the log.
    """
    stream = out or sys.stdout
    stream.write(
        "\nThis is the first start. The API key, shown only now:\n\n"
        f"    {key}\n\n"
        "Send it as X-Api-Key with every request; only a digest of it is stored.\n\n"
    )
    stream.flush()


class KeyRequired:
    """Lets a request for what needs a key pass only with a known one; the caller joins the state.

    A key is needed under `/v1`, and for each of `paths`. Where the database is not needed for the
    answer (`from_memory`), it is not needed for the key either: see `ports.Keys.recognise`.
    """

    def __init__(
        self, app: ASGIApp, *, paths: Collection[str], from_memory: Collection[ToldFromMemory]
    ) -> None:
        self._app = app
        self._from_memory = tuple(from_memory)
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401."""
        if scope["type"] == "lifespan" or not self._is_protected(scope):
            await self._app(scope, receive, send)
            return
        key = presented_key(Headers(scope=scope))
        keys = ports_of(Request(scope)).keys
        ask = keys.recognise if self._is_told_from_memory(scope) else keys.verify
        try:
            caller = None if key is None else await ask(key)
        except StorageUnavailable as error:
            await problem_response(error)(scope, receive, send)
            return
        if caller is None:
            sentence = "The API key is missing." if key is None else "The API key is not known."
            await problem_response(Unauthorized(sentence))(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)

    def _is_protected(self, scope: Scope) -> bool:
        path = cast("str", scope["path"])
        return path == PROTECTED or path.startswith(PROTECTED + "/") or path in self._paths

    def _is_told_from_memory(self, scope: Scope) -> bool:
        """Tell whether a request only reads what is in memory, whatever its key may be."""
        if scope.get("method") != "GET":
            return False
        path, query = cast("str", scope["path"]), QueryParams(scope["query_string"])
        return any(is_told(path, query) for is_told in self._from_memory)


def caller_of(request: Request) -> Caller:
    """Return whose key a request under `/v1` has shown."""
    return cast("Caller", request.state.caller)


def presented_key(headers: Headers) -> str | None:
    """Return the key that a request shows, None for none."""
    if key := headers.get("x-api-key", "").strip():
        return key
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None
