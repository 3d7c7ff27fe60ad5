"""Receivers of alerts, and an engine that tells them."""

import pytest

from tests.unit.supervisor.alerts.desk import (
    Desk,
    Receiver,
)


@pytest.fixture
def pager() -> Receiver:
    return Receiver()


@pytest.fixture
def desk(pager: Receiver) -> Desk:
    return Desk(pager)
