"""What apprise's lines say of a failure, in words that hold nothing of an address."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from perene.delivery.outcomes import failure
from perene.supervisor.alerts.tellings import ToldInPart


@dataclass
class Line:
    message: str
    level: str = "WARNING"


@dataclass
class Attempt:
    logs: Sequence[Line]
    ok: bool = False

    def __bool__(self) -> bool:
        return self.ok


def refused_with(*lines: Line) -> str:
    return str(failure([[Attempt(lines)]]))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("Failed to send Slack notification: Unauthorized - Invalid Token., error=403.", "403"),
        ("Socket Exception: (Caused by NameResolutionError(\"h: Failed to resolve 'h'\"))", "name"),
        ("Socket Exception: [SSL: CERTIFICATE_VERIFY_FAILED] self-signed", "one to trust"),
        ("Socket Exception: (Caused by SSLError(SSLEOFError(8, 'EOF')))", "TLS"),
        ("Socket Exception: (Caused by ProxyError('Cannot connect to proxy.'))", "proxy"),
        ("Socket Exception: (535, b'5.7.8 bad credentials s3cret')", "user or the password"),
        ("Socket Exception: (530, b'Must issue a STARTTLS command first')", "wants TLS, or a user"),
        (
            "Socket Exception: {'s3cret@example.com': (550, b'no such user')}",
            "recipient (SMTP 550)",
        ),
        ("SMTP recipient s3cret@example.com was refused: 550 b'no'", "recipient (SMTP 550)"),
        ("SMTP recipient s3cret@example.com was refused: 450 b'no'", "no mail for now (SMTP 450)"),
        ("Socket Exception: (550, b\"it's s3cret\", 's3cret@example.com')", "sender (SMTP 550)"),
        ("Socket Exception: (554, b'spam')", "refused the message (SMTP 554)"),
        ("Socket Exception: SMTP AUTH extension not supported by server.", "none without TLS"),
        ("Socket Exception: [Errno 111] Connection refused", "refused the connection"),
        ("Socket Exception: HTTPConnectionPool(host='h'): Read timed out. (read=4)", "in time"),
        ("Socket Exception: [Errno 113] No route to host", "cannot be reached"),
        ("A Connection error occurred sending JSON notification to s3cret.", "failed"),
    ],
)
def test_the_reason_is_told_in_our_own_words(line: str, why: str):
    told = refused_with(Line(line))
    assert why in told
    assert "s3cret" not in told


def test_what_says_nothing_that_is_known_is_not_repeated():
    assert refused_with(Line("There is no s3cret.")) == "the message was not taken"
    assert str(failure(False)) == "the message was not taken"


def test_what_was_sent_and_answered_is_no_reason():
    assert refused_with(
        Line("JSON Payload: Socket Exception: timed out", "DEBUG"),
        Line("Response Details: error=404", "DEBUG"),
    ) == ("the message was not taken")


@pytest.mark.parametrize(
    ("line", "in_part"),
    [
        (Line("Sent Email to one@example.com", "INFO"), True),
        (Line("SMTP recipient one@example.com was refused: 550 b'no'"), True),
        (Line("Sending email to one@example.com failed."), False),
        (Line("Sent bytes", "DEBUG"), False),
    ],
)
def test_what_some_recipients_took_is_told_in_part(line: Line, in_part: bool):
    found = failure([[Attempt([line, Line("error=500")])]])
    assert isinstance(found, ToldInPart) is in_part


def test_the_last_attempt_decides():
    late = Attempt([], ok=True)
    assert failure([[Attempt([Line("error=503")]), late]]) is None
    assert failure(True) is None
