"""Services of one process that can stand still, each for itself, as by SIGSTOP or a paused VM."""

import asyncio
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass
from typing import Any, Self

_RUNS_IN: ContextVar["Standstill | None"] = ContextVar("runs in", default=None)


@dataclass(frozen=True, slots=True)
class _Turn:
    handle: asyncio.Handle
    callback: Callable[..., object]
    args: tuple[Any, ...]
    context: Context


class Standstill:
    """One service, as the event loop sees it: what it does, it does in its `context`.

    While it is `frozen` none of its tasks gets a turn. Its deadlines pass meanwhile, and what is
    sent to it lies where it came; when it goes on, it finds all of it in the order of its coming.
    """

    def __init__(self) -> None:
        self.frozen = False
        self._context = copy_context()
        self._context.run(_RUNS_IN.set, self)
        self._waiting: list[_Turn] = []
        _watch_turns(asyncio.get_running_loop())

    @classmethod
    def present(cls) -> Self | None:
        """Return the service that runs at this moment, None if it is no one's turn."""
        found = _RUNS_IN.get()
        return found if isinstance(found, cls) else None

    @property
    def context(self) -> Context:
        """A context for one more of its tasks."""
        return self._context.copy()

    def freeze(self) -> None:
        """Let it stand still as soon as what runs now has to wait for anything."""
        self.frozen = True

    def go_on(self) -> None:
        """Let it go on with all that has come meanwhile."""
        self.frozen = False
        loop = asyncio.get_running_loop()
        waiting, self._waiting = self._waiting, []
        for turn in waiting:
            if not turn.handle.cancelled():
                loop.call_soon(turn.callback, *turn.args, context=turn.context)

    def put_off(self, turn: _Turn) -> asyncio.Handle:
        self._waiting.append(turn)
        return turn.handle


def _watch_turns(loop: asyncio.AbstractEventLoop) -> None:
    """Have the loop ask, before it gives somebody a turn, whether that one stands still."""
    if getattr(loop, "stands_still", False):
        return
    call_soon = loop.call_soon

    def called_soon(
        callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        its = copy_context() if context is None else context
        service = its.get(_RUNS_IN)
        if service is None or not service.frozen:
            return call_soon(callback, *args, context=its)
        handle = asyncio.Handle(callback, args, loop, its)
        return service.put_off(_Turn(handle, callback, args, its))

    setattr(loop, "stands_still", True)  # noqa: B010  # not of a loop of its own kind
    setattr(loop, "call_soon", called_soon)  # noqa: B010  # a method
