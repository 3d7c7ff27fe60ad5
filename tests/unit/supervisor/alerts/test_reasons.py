"""Why a session is as it is, as those are told who get its alerts."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from perene.core.account import Ban
from perene.core.notices import Opened
from perene.core.sessions import Connection
from perene.supervisor.alerts.reasons import reason_of
from perene.supervisor.session.live import LiveState

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def live() -> LiveState:
    """A session that is down."""
    live = LiveState()
    live.moved(Connection.WAITING, error="Check the DNS.")
    return live


def test_a_session_that_is_down_is_told_with_what_is_wrong(live: LiveState) -> None:
    assert reason_of(live) == "Check the DNS."


def test_of_a_session_that_is_open_or_was_never_up_nothing_is_wrong(live: LiveState) -> None:
    live.notice(Opened(at=NOW))
    assert reason_of(live) == ""
    assert reason_of(LiveState()) == ""


@pytest.mark.requirement("F10")
@pytest.mark.parametrize(
    ("until", "end"),
    [(NOW, "It ends at 2026-11-21 12:00:00 UTC."), (None, "For how long is not known.")],
)
def test_of_a_ban_its_meaning_and_its_end_are_told(
    live: LiveState, until: datetime | None, end: str
) -> None:
    live.outlook = replace(live.outlook, ban=Ban(code="102", until=until))
    assert reason_of(live) == f"Check the DNS. Too many people blocked this number. {end}"
