"""Receivers on this machine, and who listens to what libraries log."""

import logging
from collections.abc import Iterator

import pytest

from tests.support.receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(("apprise", "urllib3")):
            self.heard.append(record.getMessage())


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """What reaches the root logger, where the service listens; pytest listens elsewhere, too."""
    listener, root = _Listener(), logging.getLogger()
    root.addHandler(listener)
    level = root.level
    root.setLevel(logging.DEBUG)
    yield listener.heard
    root.setLevel(level)
    root.removeHandler(listener)
