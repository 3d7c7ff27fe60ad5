"""HTTP with JSON, as little of it as the demo needs, with the standard library."""

import http.client
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from perene.demo.children import DemoFailed

_TIMEOUT_S = 30.0
_AGAIN_S = 0.02


class Client:
    """Asks one service. Safe in several threads: every request has its own connection."""

    def __init__(self, port: int, headers: Mapping[str, str] | None = None) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self._headers = dict(headers or {})

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, str]:
        """Return status and text of an answer; raises OSError or HTTPException without one."""
        sent = {**self._headers, **(headers or {})}
        if isinstance(body, Mapping):
            sent["Content-Type"] = "application/json"
            body = json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT_S)
        try:
            connection.request(method, path, None if body is None else body.encode(), sent)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def text(self, method: str, path: str, body: Mapping[str, object] | str | None = None) -> str:
        """Return the text of an answer; raises DemoFailed for a refusal."""
        status, text = self.request(method, path, body)
        if status >= 400:
            raise DemoFailed(f"{method} {path} was answered {status}: {text}")
        return text

    def ask(self, method: str, path: str, body: Mapping[str, object] | str | None = None) -> Any:
        """Return the JSON of an answer; raises DemoFailed for a refusal."""
        return json.loads(self.text(method, path, body))

    def insist(
        self, path: str, body: Mapping[str, object], headers: Mapping[str, str], within_s: float
    ) -> tuple[Any, int]:
        """Post until there is an answer, as a careful client does; return it and the attempts.

        The same request under the same Idempotency-Key is sent once, however often it is repeated.
        """
        deadline = time.monotonic() + within_s
        attempts = 0
        while True:
            attempts += 1
            try:
                status, text = self.request("POST", path, body, headers)
            except (OSError, http.client.HTTPException):
                status, text = 503, "no answer"
            if status < 400:
                return json.loads(text), attempts
            if status < 500 or time.monotonic() > deadline:
                raise DemoFailed(f"POST {path} was answered {status}: {text}")
            time.sleep(_AGAIN_S)


def until(condition: Callable[[], bool], what: str, *, within_s: float = 60.0) -> None:
    """Return as soon as a condition holds; raises DemoFailed when it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise DemoFailed(f"waited in vain for {what}")
        time.sleep(_AGAIN_S)
