"""Alerts at a real mail server: what arrives, and what becomes of what it does not take."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from perene.core.alerts import Alert, Severity
from perene.delivery.alerts import AppriseNotifier, notifiers_for
from perene.process.threads import Threads
from perene.sim.certificate import self_signed, server_context
from perene.supervisor.alerts.alerting import Alerting
from perene.supervisor.alerts.tellings import NotTold
from tests.support.mail_server import PASSWORD, USER, MailServer, mail_server
from tests.support.virtual_clock import VirtualClock
from tests.unit.supervisor.alerts.desk import HOT, Shelf

START = datetime(2026, 9, 1, 12, tzinfo=UTC)
ALERT = Alert(
    id="a",
    rule="session_down",
    subject="shop",
    severity=Severity.CRITICAL,
    sentence="Not connected for 5 minutes … ação.",
    value=301,
    began_at=START,
    fired_at=START + timedelta(minutes=5),
)


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[MailServer]:
    certificate, key = self_signed("127.0.0.1")
    authority = tmp_path / "authority.pem"
    authority.write_bytes(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    async with mail_server(server_context(certificate, key)) as server:
        yield server


def notifier(url: str, timeout_s: float = 15) -> AppriseNotifier:
    (made,) = notifiers_for(url, lambda: Threads(1, "alerts"))
    for plugin in cast("Any", made.address.service).services:
        plugin.request_rate_per_sec = 0  # else apprise waits five seconds between two mails
    return AppriseNotifier(made.address, thread=Threads(1, "alerts"), timeout_s=timeout_s)


async def refusal(url: str, timeout_s: float = 15) -> str:
    with pytest.raises(NotTold) as refused:
        await notifier(url, timeout_s).tell([ALERT], remedy="Look.", reasons={})
    return str(refused.value)


async def test_a_mail_says_what_is_wrong_since_when_how_bad_why_and_what_to_do(
    server: MailServer,
) -> None:
    told = notifier(server.url())
    await told.tell([ALERT], remedy="Look at the outages.", reasons={"shop": "Check the DNS."})
    over = replace(ALERT, resolved_at=START + timedelta(minutes=9))
    await told.tell([over], remedy="Look at the outages.", reasons={})
    fired, resolved = server.mails
    assert (fired["From"], fired["To"]) == ("perene@example.com", "oncall@example.com")
    assert fired["Subject"] == "Session shop: Not connected for 5 minutes … ação."
    assert fired.get_content().splitlines() == [
        "Alert since 2026-09-01 12:00:00 UTC (critical, rule session_down)",
        "Check the DNS.",
        "Look at the outages.",
    ]
    assert resolved["Subject"] == "Resolved: Session shop: Not connected for 5 minutes … ação."
    assert resolved.get_content().splitlines() == [
        "From 2026-09-01 12:00:00 UTC to 2026-09-01 12:09:00 UTC (critical, rule session_down)"
    ]
    for mail in server.mails:
        assert USER not in mail.as_string()
        assert PASSWORD not in mail.as_string()


@pytest.mark.parametrize(
    ("command", "answer", "why"),
    [
        ("MAIL", "550 5.7.1 Not from {address}", "its mail server refused the sender (SMTP 550)"),
        ("MAIL", "421 4.3.2 Going down", "its mail server takes no mail for now (SMTP 421)"),
        ("RCPT", "550 5.1.1 No {address}", "its mail server refused the recipient (SMTP 550)"),
        ("RCPT", "450 4.2.1 Greylisted", "its mail server takes no mail for now (SMTP 450)"),
        ("DATA", "554 5.7.1 Spam", "its mail server refused the message (SMTP 554)"),
        ("DATA", "452 4.3.1 No room", "its mail server takes no mail for now (SMTP 452)"),
    ],
)
async def test_a_refusal_is_told_by_what_was_refused_and_its_code(
    server: MailServer, command: str, answer: str, why: str
) -> None:
    server.answers[command] = answer.format(address="oncall@example.com")
    assert await refusal(server.url()) == why
    assert server.mails == []


async def test_a_wrong_password_is_told(server: MailServer) -> None:
    why = "its mail server refused the user or the password (SMTP 535)"
    assert await refusal(server.url(password="wrong")) == why


async def test_without_tls_no_password_is_given(server: MailServer) -> None:
    why = "its mail server takes no password, or none without TLS"
    assert await refusal(server.url(mode="insecure")) == why


async def test_a_server_that_cannot_prove_who_it_is_gets_nothing(
    server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    assert await refusal(server.url()) == "its TLS certificate is not one to trust"
    assert server.asked == 0


async def test_a_server_that_is_gone_is_told(server: MailServer) -> None:
    await server.close()
    assert await refusal(server.url()) == "its host refused the connection"


async def test_a_server_that_hangs_is_left_in_time(server: MailServer) -> None:
    server.goes_on.clear()
    assert await refusal(server.url(), timeout_s=0.5) == "no answer within 0.5 s"
    server.goes_on.set()


# --- over time ------------------------------------------------------------------------------------


class Engine:
    """The alert engine, one session that is hot, and one receiver of mails."""

    def __init__(self, told: AppriseNotifier) -> None:
        self.clock = VirtualClock()
        self.alerting = Alerting(
            store=Shelf(),
            notifiers=[told],
            rules=[HOT],
            signals=lambda: {"one": {"heat": 11.0}},
            clock=self.clock,
        )

    async def look(self, after_s: float) -> None:
        await self.clock.advance(after_s)
        await self.alerting.look()

    async def notes(self) -> list[tuple[bool, str | None]]:
        (alert,) = await self.alerting.alerts(open_only=True, session=None, limit=9)
        return [(one.ok, one.detail) for one in alert.notified]


async def test_what_a_server_refused_is_logged_shown_and_sent_again_once_it_is_taken(
    server: MailServer,
) -> None:
    engine = Engine(notifier(server.url()))
    server.answers["DATA"] = "554 5.7.1 Spam, says oncall@example.com"
    with capture_logs() as lines:
        for _ in range(2):
            await engine.look(10)
    why = "its mail server refused the message (SMTP 554)"
    logged = [line for line in lines if line["event"] == "alert_not_told"]
    assert [(line["receiver"], line["reason"]) for line in logged] == [("address 1", why)] * 2
    assert not [line for line in lines if "example.com" in str(line)]
    assert await engine.notes() == [(False, f"address 1: {why}")] * 2
    health = engine.alerting.health()
    assert (health.ok, "not delivered yet: 1" in (health.detail or "")) == (False, True)
    server.answers.clear()
    for _ in range(3):
        await engine.look(30)
    assert len(server.mails) == 1
    assert (await engine.notes())[-1] == (True, "address 1")
    assert engine.alerting.health().ok


async def test_who_got_a_mail_gets_it_once_though_another_recipient_is_refused(
    server: MailServer,
) -> None:
    server.unknown.add("gone@example.com")
    for recipients in (
        {"to": "gone@example.com,oncall@example.com"},
        {"to": "oncall@example.com", "cc": "gone@example.com"},
    ):
        server.mails.clear()
        engine = Engine(notifier(server.url(**recipients)))
        with capture_logs() as lines:
            for _ in range(5):
                await engine.look(900)
        assert [mail["To"] for mail in server.mails] == ["oncall@example.com"]
        why = "not all of its recipients took it: its mail server refused the recipient (SMTP 550)"
        assert [line["reason"] for line in lines if line["event"] == "alert_not_told"] == [why]
        assert await engine.notes() == [(False, f"address 1: {why}"), (True, "address 1")]


async def test_what_a_server_took_too_late_is_not_sent_again(server: MailServer) -> None:
    told = notifier(server.url(), timeout_s=0.5)
    engine = Engine(told)
    server.goes_on.clear()
    await engine.look(10)
    assert await engine.notes() == [(False, "address 1: no answer within 0.5 s")]
    server.goes_on.set()
    async with asyncio.timeout(10):
        while (await engine.notes())[-1] != (True, "address 1"):
            await engine.look(900)
    assert len(server.mails) == 1


async def test_what_comes_with_something_taken_too_late_is_sent_without_it(
    server: MailServer,
) -> None:
    told = notifier(server.url(), timeout_s=0.5)
    server.goes_on.clear()
    with pytest.raises(NotTold, match="no answer"):
        await told.tell([ALERT], remedy="", reasons={})
    server.goes_on.set()
    other = replace(ALERT, id="b", subject="desk")
    patient = replace(other, id="c", subject="home", rule="session_deaf")
    for alerts in ([patient], [ALERT, other]):
        async with asyncio.timeout(10):
            while not await is_told(told, alerts):
                pass
    subjects = [mail["Subject"].partition(":")[0] for mail in server.mails]
    assert subjects == ["Session shop", "Session home", "Session desk"]


async def is_told(told: AppriseNotifier, alerts: Sequence[Alert]) -> bool:
    try:
        await told.tell(alerts, remedy="", reasons={})
    except NotTold:
        return False
    return True
