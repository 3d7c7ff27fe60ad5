"""How much of a request is read."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perene.api.problems import BodyTooLarge, problem_response


class BodyLimit:
    """Refuses a body above a size, announced or not, before it is held in memory.

    FastAPI's own limit answers in plain text, and before the layers that are added to it.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; answer 413 when its body is too large."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        if not (announced.isascii() and announced.isdigit()) or int(announced) > self._max_bytes:
            error = BodyTooLarge(f"A body can have {self._max_bytes} bytes at most.")
            await problem_response(error)(scope, receive, send)
            return
        left = self._max_bytes

        async def counted() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413)  # the one kind that FastAPI passes on from a body
            return message

        await self._app(scope, counted, send)
