"""Questions of many callers, put to the database together."""

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from perene.core.errors import PereneError

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Gathering(Generic[Question, Answer]):
    """Asks for many callers at once: while one call runs, the next questions gather.

    `ask_all` answers a list of questions in their order; an error among the answers is raised for
    the one who asked, an error that it raises for all of them. When a thousand sessions start, each
    trip to a thread, each statement and each `fsync` then serves many of them.
    """

    def __init__(
        self,
        ask_all: Callable[[Sequence[Question]], Awaitable[Sequence[Answer | PereneError]]],
        *,
        most: int = 256,
    ) -> None:
        self._ask_all = ask_all
        self._most = most
        self._waiting: deque[tuple[Question, asyncio.Future[Answer]]] = deque()
        self._asking: asyncio.Task[None] | None = None

    async def ask(self, question: Question) -> Answer:
        """Return the answer, or raise the error that is the answer.

        A caller that is cancelled before its turn is not asked for; later, what is asked happens.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if self._asking is None:
            # In no caller's context: it works for all of them.
            self._asking = asyncio.create_task(
                self._ask_while_any(), name="gathering", context=contextvars.Context()
            )
        return await answer

    async def _ask_while_any(self) -> None:
        try:
            while self._waiting:
                count = min(len(self._waiting), self._most)
                batch = [self._waiting.popleft() for _ in range(count)]
                await self._ask([one for one in batch if not one[1].done()])
        finally:
            self._asking = None
            for _, answer in self._waiting:
                answer.cancel()
            self._waiting.clear()

    async def _ask(self, batch: Sequence[tuple[Question, "asyncio.Future[Answer]"]]) -> None:
        if not batch:
            return
        try:
            answers = await self._ask_all([question for question, _ in batch])
        except BaseException as error:  # whoever waits must hear of it, a cancellation too
            for _, future in batch:
                _settle(future, error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            _settle(future, answer)


def _settle(future: "asyncio.Future[Answer]", answer: Answer | BaseException) -> None:
    if future.done():
        return
    if isinstance(answer, asyncio.CancelledError):
        future.cancel()
    elif isinstance(answer, BaseException):
        future.set_exception(answer)
    else:
        future.set_result(answer)
