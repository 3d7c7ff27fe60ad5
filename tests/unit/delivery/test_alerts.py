"""Alerts as they reach a receiver over HTTP, and addresses that cannot be used."""

import asyncio
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from apprise import Apprise

from perene.core.alerts import SERVICE, Alert, Severity
from perene.delivery.addresses import (
    ANSWER_WITHIN_S,
    Address,
    Service,
    WrongAlertUrl,
    addresses,
)
from perene.delivery.alerts import (
    TIMEOUT_S,
    AppriseNotifier,
    kind_of,
    message,
    notifiers_for,
)
from perene.process.threads import Threads
from perene.supervisor.alerts.tellings import NotTold
from tests.support.receiver import Receiver

START = datetime(2026, 9, 1, 12, tzinfo=UTC)
ALERT = Alert(
    id="a",
    rule="session_down",
    subject="shop",
    severity=Severity.WARNING,
    sentence="Not connected for 5 minutes.",
    value=301,
    began_at=START,
    fired_at=START + timedelta(minutes=5),
)
RESOLVED = replace(ALERT, resolved_at=START + timedelta(minutes=9))


def a_thread() -> Threads:
    return Threads(1, "alerts")


@pytest.mark.parametrize(
    ("alert", "kind"),
    [
        (replace(ALERT, severity=Severity.INFO), "info"),
        (ALERT, "warning"),
        (replace(ALERT, severity=Severity.CRITICAL), "failure"),
        (RESOLVED, "success"),
    ],
)
async def test_an_alert_reaches_its_receiver_with_its_severity(
    receiver: Receiver, alert: Alert, kind: str
):
    (notifier,) = notifiers_for(receiver.url, a_thread)
    await notifier.tell([alert], remedy="Look at the outages.", reasons={})
    (posted,) = receiver.posted
    assert posted["type"] == kind == kind_of(alert)
    assert (posted["title"], posted["message"]) == message([alert], "Look at the outages.", {})


async def test_a_receiver_that_refuses_is_told_of_without_its_address(
    receiver: Receiver, heard: list[str], capfd: pytest.CaptureFixture[str]
):
    receiver.status = 500
    (notifier,) = notifiers_for(receiver.url, a_thread)
    with pytest.raises(NotTold) as refused:
        await notifier.tell([ALERT], remedy="", reasons={})
    assert str(refused.value) == "its host answered HTTP 500"
    assert notifier.name == "address 1"
    assert heard == []
    assert capfd.readouterr() == ("", "")


async def test_no_thread_is_left_that_keeps_the_process_from_its_end(receiver: Receiver):
    before = set(threading.enumerate())
    (notifier,) = notifiers_for(receiver.url, a_thread)
    await notifier.tell([ALERT], remedy="", reasons={})
    assert all(thread.daemon for thread in set(threading.enumerate()) - before)


async def test_a_receiver_that_is_gone_is_told_of_too(receiver: Receiver):
    (notifier,) = notifiers_for(receiver.url, a_thread)
    receiver.close()
    with pytest.raises(NotTold) as refused:
        await notifier.tell([ALERT], remedy="", reasons={})
    assert str(refused.value) == "its host refused the connection"


async def test_a_receiver_that_does_not_answer_is_told_of_too(receiver: Receiver):
    receiver.goes_on.clear()
    (notifier,) = notifiers_for(f"{receiver.url}?rto=0.2", a_thread)
    with pytest.raises(NotTold, match=r"^its host did not answer in time$"):
        await notifier.tell([ALERT], remedy="", reasons={})


@pytest.mark.parametrize(
    ("query", "limit_s"), [("", ANSWER_WITHIN_S), ("?rto=3.5", 3.5), ("?cto=2&RTO=3.5", 3.5)]
)
def test_a_slow_server_is_given_more_time_than_apprise_would(query: str, limit_s: float) -> None:
    (address,) = addresses(f"json://127.0.0.1/hook{query}")
    assert isinstance(address.service, Apprise)
    (plugin,) = address.service
    assert plugin.request_timeout[1] == limit_s
    assert ANSWER_WITHIN_S < TIMEOUT_S, "what apprise gives up is told of, not what we give up"


async def test_an_address_that_apprise_shall_not_mind_is_minded(receiver: Receiver):
    receiver.status = 404
    (notifier,) = notifiers_for(f"{receiver.url}?optional=yes", a_thread)
    with pytest.raises(NotTold, match="HTTP 404"):
        await notifier.tell([ALERT], remedy="", reasons={})


async def test_the_words_of_an_alert_are_not_taken_for_the_reason(receiver: Receiver):
    receiver.status = 500
    told = replace(ALERT, sentence="Socket Exception: error=404 connection error, timed out.")
    (notifier,) = notifiers_for(receiver.url, a_thread)
    with pytest.raises(NotTold, match=r"HTTP 500$"):
        await notifier.tell([told], remedy="", reasons={})


def of(service: Service, timeout_s: float = 15) -> AppriseNotifier:
    address = Address(place=1, shown="a service", service=service)
    return AppriseNotifier(address, thread=a_thread(), timeout_s=timeout_s)


class Hanging:
    """A service that answers when it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def notify(
        self, *, body: str, title: str, notify_type: str, body_format: str, log_level: int
    ) -> object:
        self.let_go.wait(30)
        return True


async def test_a_receiver_that_hangs_is_left_in_time_and_blocks_nobody():
    service = Hanging()
    notifier = of(service, timeout_s=0.05)
    try:
        with pytest.raises(NotTold, match=r"within 0\.05 s"):
            await asyncio.wait_for(notifier.tell([ALERT], remedy="", reasons={}), 10)
    finally:
        service.let_go.set()


class Raising:
    """A service whose library raises with the address in its words."""

    def notify(
        self, *, body: str, title: str, notify_type: str, body_format: str, log_level: int
    ) -> object:
        raise RuntimeError("json://user:hidden@host")


async def test_what_a_library_raises_is_told_by_its_kind_only():
    with pytest.raises(NotTold) as refused:
        await of(Raising()).tell([ALERT], remedy="", reasons={})
    assert str(refused.value) == "the message was not sent (RuntimeError)"


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        (" \n", 0),
        ("json://127.0.0.1:1", 1),
        ("json://127.0.0.1:1 json://127.0.0.1:2\njson://127.0.0.1:3", 3),
        ("json://127.0.0.1:1,json://127.0.0.1:2,", 2),
        ("json://127.0.0.1:1, json://127.0.0.1:2", 2),
        ("mailtos://user:pass@example.com?to=a@example.com,b@example.com", 1),
    ],
)
def test_addresses_are_parted_by_white_space_or_commas(text: str, count: int):
    notifiers = notifiers_for(text, a_thread)
    assert [one.name for one in notifiers] == [f"address {n}" for n in range(1, count + 1)]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("nosuch://token-abc", "apprise knows no service of its scheme, the part before ://"),
        ("token-abc", "it does not begin with a scheme, as json:// or mailtos://"),
        ("json://", "something behind json:// is wrong, or missing"),
        ("slack://token-abc", "something behind slack:// is wrong, or missing"),
        ("windows://", "windows:// cannot be used on this machine"),
    ],
)
def test_a_wrong_address_refuses_the_start_by_its_place_and_says_why(
    wrong: str, why: str, heard: list[str], capfd: pytest.CaptureFixture[str]
):
    with pytest.raises(WrongAlertUrl) as refused:
        notifiers_for(f"json://127.0.0.1:1 {wrong}", a_thread)
    assert str(refused.value) == f"Address 2 in PERENE_ALERT_URLS cannot be used: {why}."
    assert heard == []
    assert capfd.readouterr() == ("", "")


def test_every_wrong_address_is_told_at_once():
    with pytest.raises(WrongAlertUrl, match=r"Address 1 .* Address 3 "):
        notifiers_for("nosuch://a json://127.0.0.1:1 b", a_thread)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("json://user:s3cret@127.0.0.1:9000/s3cret?-k=s3cret", "JSON json://127.0.0.1:9000/…"),
        ("mailtos://s3cret:s3cret@example.com", "E-Mail mailtos://example.com:587/…"),
        ("gotify://example.com/s3crets3crets3", "Gotify gotify://example.com/…"),
        # What stands where a host would is a token, or may be one.
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "Slack slack://…"),
        ("https://discord.com/api/webhooks/4174216298/s3cret-s3cret", "Discord https://…"),
        ("ntfy://s3cret", "ntfy ntfy://…"),
    ],
)
def test_an_address_is_shown_without_what_it_hides(url: str, shown: str):
    (notifier,) = notifiers_for(url, a_thread)
    assert notifier.address.shown == shown


# --- words ----------------------------------------------------------------------------------------


def test_a_message_says_what_and_since_when_and_what_to_do():
    assert message([ALERT], "Look at the outages.", {}) == (
        "Session shop: Not connected for 5 minutes.",
        "Alert since 2026-09-01 12:00:00 UTC (warning, rule session_down)\nLook at the outages.",
    )


def test_a_message_says_why_a_session_is_as_it_is():
    assert message([ALERT], "Look at the outages.", {"shop": "Check the DNS."}) == (
        "Session shop: Not connected for 5 minutes.",
        (
            "Alert since 2026-09-01 12:00:00 UTC (warning, rule session_down)\n"
            "Check the DNS.\nLook at the outages."
        ),
    )


def test_a_message_about_several_says_of_each_what_is_its_own():
    longer = replace(ALERT, subject="desk", sentence="Not connected for 47 minutes.")
    healthy = replace(ALERT, subject="home")
    _, body = message([ALERT, longer, healthy], "", {"shop": "A.", "desk": "B."})
    assert body.splitlines() == [
        "Session shop: Alert since 2026-09-01 12:00:00 UTC. A.",
        "Session desk: Alert since 2026-09-01 12:00:00 UTC. Not connected for 47 minutes. B.",
        "Session home: Alert since 2026-09-01 12:00:00 UTC",
        "(warning, rule session_down)",
    ]


def test_a_message_about_the_service_names_no_session():
    title, _ = message([replace(ALERT, subject=SERVICE)], "", {})
    assert title == "Perene: Not connected for 5 minutes."


def test_a_resolved_alert_says_from_when_to_when_and_asks_for_nothing():
    assert message([RESOLVED], "Look at the outages.", {}) == (
        "Resolved: Session shop: Not connected for 5 minutes.",
        "From 2026-09-01 12:00:00 UTC to 2026-09-01 12:09:00 UTC (warning, rule session_down)",
    )


def test_many_alerts_are_told_in_one_message_of_bounded_length():
    title, body = message([replace(ALERT, subject=f"s{n}") for n in range(300)], "Look.", {})
    assert title == "300 sessions: Not connected for 5 minutes."
    lines = body.splitlines()
    assert lines[0] == "Session s0: Alert since 2026-09-01 12:00:00 UTC"
    assert lines[-3:] == ["… and 280 more", "(warning, rule session_down)", "Look."]
    assert len(lines) == 23


@pytest.mark.parametrize(
    ("subjects", "whom"),
    [
        ((SERVICE, SERVICE), "Perene, 2 times"),
        (("shop", "shop", "shop"), "Session shop, 3 times"),
        (("shop", "desk", "shop"), "2 sessions"),
    ],
)
def test_what_came_and_went_unheard_is_counted_by_whom_it_is_about(
    subjects: tuple[str, ...], whom: str
):
    title, body = message([replace(RESOLVED, subject=subject) for subject in subjects], "", {})
    assert title == f"Resolved: {whom}: Not connected for 5 minutes."
    assert len(body.splitlines()) == len(subjects) + 1
