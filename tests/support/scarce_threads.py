"""A system that has no more threads for this process."""

import threading

import pytest


class System:
    """Gives `left` threads more, and refuses as Python tells it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 10**6
        start = threading.Thread.start

        def give(thread: threading.Thread) -> None:
            if not self.left:
                raise RuntimeError("can't start new thread")
            self.left -= 1
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", give)
