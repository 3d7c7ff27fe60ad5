"""Log lines: structured, masked, and without bodies or secrets."""

import errno
import io
import json
import logging

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from perene.process.logs import mask, setup_logs

NUMBER = "5511999990000"


@pytest.fixture(params=["json", "console"])
def out(request: pytest.FixtureRequest) -> io.StringIO:
    stream = io.StringIO()
    setup_logs("info", request.param, stream)
    return stream


def test_no_line_holds_a_number_a_body_or_a_secret(out: io.StringIO):
    log = structlog.stdlib.get_logger().bind(session=NUMBER)
    log.info("message_received", chat=f"{NUMBER}@s.whatsapp.net", text="dinner at eight")
    careless = f"to {NUMBER}"
    log.info(careless, peers=[f"{NUMBER}_1.3", {NUMBER: (f"+{NUMBER}",)}], phone=int(NUMBER))
    log.warning("sent", content={"conversation": "dinner at eight"}, data=b"dinner at eight")
    log.error("refused", api_key="pk_dinner", headers={"Authorization": "Bearer dinner"})
    log.info("written", number="+55 (11) 99999-0000, or +55 11 99999 0000")
    try:
        raise ValueError(f"no such number: {NUMBER}")
    except ValueError:
        log.exception("failed")
    logging.getLogger("library").warning("asked for %s", f"{NUMBER}@lid")
    text = out.getvalue()
    assert len(text.splitlines()) >= 7
    for hidden in (NUMBER, "dinner", "99999-0000", "99999 0000"):
        assert hidden not in text
    assert "***0000" in text


def test_a_json_line_holds_the_event_and_its_fields():
    stream = io.StringIO()
    setup_logs("info", "json", stream)
    structlog.stdlib.get_logger().info("connected", session="one", attempt=3, epoch=12345678)
    line = json.loads(stream.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "connected",
        "level": "info",
        "session": "one",
        "attempt": 3,
        "epoch": 12345678,
    }


class Full(io.StringIO):
    """What a disk without room, or a pipe without a reader, does."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self) -> None:
        raise BrokenPipeError


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_line_that_cannot_be_written_ends_nobody(form: str):
    setup_logs("info", form, Full())
    structlog.stdlib.get_logger().info("connected", session="one")
    logging.getLogger("library").warning("asked")


def test_a_line_below_the_level_is_not_written():
    stream = io.StringIO()
    setup_logs("warning", "json", stream)
    log = structlog.stdlib.get_logger()
    log.info("connected")
    log.debug("connected")
    assert stream.getvalue() == ""


def test_libraries_are_heard_only_when_something_is_wrong(out: io.StringIO):
    logging.getLogger("library").info("all is well")
    logging.getLogger("library").error("all is not well")
    assert "all is well" not in out.getvalue()
    assert "all is not well" in out.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "3EB0A1B2C3D4E5F60718",
        "2.3000.1035194821",
        "2026-05-01T12:00:00.123456Z",
        "port 8080",
        "s_0123456789abcdef",
    ],
)
def test_what_is_no_number_stays(text: str):
    assert mask(text) == text


@given(st.integers(10**7, 10**15 - 1), st.sampled_from(["{}", "+{}", "{}@lid", "{}:3@x", "({})"]))
def test_no_number_of_8_to_15_digits_survives(number: int, form: str):
    assert str(number) not in mask(form.format(number))
    assert mask(form.format(number)).count(str(number)[-4:]) >= 1
