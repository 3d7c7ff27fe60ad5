"""Nobody waits for whoever reads the log, and what is lost by that is counted."""

import contextlib
import fcntl
import io
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

import pytest
import structlog

from perene.process.log_writer import LineWriter, errors_aside, write_within
from perene.process.logs import setup_logs

PIPE_BYTES = 4096
"""The least that a pipe can be made to hold."""

pytestmark = pytest.mark.timeout(30)  # what waits for a reader would wait for ever


@dataclass
class Pipe:
    """A pipe, which nobody reads until a test does."""

    reader: int
    stream: TextIO

    def fill(self) -> None:
        """Put in whatever it takes, so that the next one to write waits."""
        file = self.stream.fileno()
        os.set_blocking(file, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(file, b"." * PIPE_BYTES)
        os.set_blocking(file, True)

    def rest(self) -> list[str]:
        """Read to the end, which comes when nobody can write any more."""
        self.stream.close()
        with os.fdopen(os.dup(self.reader), encoding="utf-8") as reader:
            return reader.read().lstrip(".").splitlines()

    def leave(self) -> None:
        """Be a reader that has gone."""
        if self.reader >= 0:
            os.close(self.reader)
        self.reader = -1


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    one = Pipe(reader, os.fdopen(writer, "w", encoding="utf-8"))
    yield one
    one.leave()
    with contextlib.suppress(BrokenPipeError):
        one.stream.close()


def test_nobody_waits_for_a_reader_that_has_stopped_and_the_lines_come_when_it_goes_on(pipe: Pipe):
    pipe.fill()
    writer = LineWriter(pipe.stream)
    for number in range(100):
        writer.write(f"line {number}\n")
    reading = Reading(pipe)
    writer.end()
    assert reading.lines() == [f"line {number}" for number in range(100)]
    assert writer.lost == 0


def test_what_is_too_much_is_lost_and_the_log_says_how_much_it_was(pipe: Pipe):
    pipe.fill()
    writer = LineWriter(pipe.stream, most_waiting=1000)
    setup_logs("info", "json", writer)  # pyright: ignore[reportArgumentType]  # as sys.stderr is
    log = structlog.stdlib.get_logger()
    for number in range(50):
        log.info("taken", number=number)
    assert writer.lost > 30
    lost, reading = writer.lost, Reading(pipe)
    told = reading.until("log_lines_lost")
    log.info("afterwards")
    writer.end()
    lines = [json.loads(line) for line in reading.lines()]
    numbers = [line["number"] for line in lines if line["event"] == "taken"]
    assert numbers == list(range(50 - lost)), "the first ones are kept, in their order"
    assert (told["level"], told["lines"]) == ("warning", lost)
    assert [line["event"] for line in lines[-2:]] == ["log_lines_lost", "afterwards"]
    assert writer.lost == lost


def test_a_line_that_is_too_long_by_itself_is_counted_and_keeps_no_other_away(pipe: Pipe):
    writer, reading = LineWriter(pipe.stream, most_waiting=1000), Reading(pipe)
    setup_logs("info", "json", writer)  # pyright: ignore[reportArgumentType]  # as sys.stderr is
    writer.write("x" * 1001)
    assert reading.until("log_lines_lost")["lines"] == 1
    structlog.stdlib.get_logger().info("afterwards")
    assert reading.until("afterwards")
    writer.end()


def test_each_line_is_masked(pipe: Pipe):
    reading = Reading(pipe)
    writer = LineWriter(pipe.stream)
    setup_logs("info", "json", writer)  # pyright: ignore[reportArgumentType]  # as sys.stderr is
    structlog.stdlib.get_logger().info("sent", to="5511999990000", text="dinner at eight")
    logging.getLogger("library").warning("asked for %s", "5511999990000")
    writer.end()
    lines = reading.lines()
    assert [line.count("***0000") for line in lines] == [1, 1]
    assert "dinner" not in "".join(lines)


def test_the_end_waits_for_a_stopped_reader_for_a_while_only(pipe: Pipe):
    pipe.fill()
    writer = LineWriter(pipe.stream)
    writer.write("last words\n")
    writer.end(within_s=0.05)
    writer.write("after the end\n")
    assert writer.lost == 2
    assert pipe.rest() == []


def test_what_is_said_after_the_end_is_written_if_somebody_reads(pipe: Pipe):
    writer = LineWriter(pipe.stream)
    writer.end()
    writer.write("after the end\n")
    assert pipe.rest() == ["after the end"]


def test_a_reader_that_has_gone_costs_lines_and_no_more(pipe: Pipe):
    writer = LineWriter(pipe.stream)
    pipe.leave()
    for _ in range(3):
        writer.write("to nobody\n")
    writer.end()
    assert writer.lost == 3


def test_there_may_be_no_standard_error_at_all():
    writer = LineWriter(None)
    writer.write("to nobody\n")
    assert not writer.isatty()
    writer.end()
    assert writer.lost == 1


def test_a_stream_of_pythons_own_is_written_as_it_is():
    stream = io.StringIO()
    writer = LineWriter(stream)
    writer.write("a line\n")
    writer.end()
    write_within(stream, "another\n")
    assert stream.getvalue() == "a line\nanother\n"


def test_whatever_python_tells_goes_the_same_way(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe.fill()
    monkeypatch.setattr(sys, "stderr", pipe.stream)
    with errors_aside():
        print("a warning of Python's", file=sys.stderr)
        sys.__excepthook__(ValueError, ValueError("strange"), None)
        reading = Reading(pipe)
    assert sys.stderr is pipe.stream
    told = "\n".join(reading.lines())
    assert "a warning of Python's" in told
    assert "ValueError: strange" in told


def test_last_words_are_written_whole_or_given_up_in_time(pipe: Pipe):
    write_within(pipe.stream, "short\n")
    pipe.fill()
    with pytest.raises(TimeoutError, match="nobody reads it"):
        write_within(pipe.stream, "never\n", within_s=0.05)
    reading = Reading(pipe)
    write_within(pipe.stream, "long " * PIPE_BYTES + "\n")
    assert len(reading.lines()[-1]) >= 5 * PIPE_BYTES


class Reading:
    """Reads a pipe in a thread of its own, from now on."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._lines: list[str] = []
        self._more = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with os.fdopen(os.dup(self._pipe.reader), encoding="utf-8") as reader:
            for line in reader:
                with self._more:
                    self._lines.append(line.lstrip(".").rstrip("\n"))
                    self._more.notify()

    def until(self, event: str) -> dict[str, object]:
        """Return the line of an event, waiting for it."""
        with self._more:
            while True:
                for line in self._lines:
                    if line and json.loads(line)["event"] == event:
                        return json.loads(line)
                assert self._more.wait(20), f"no {event}: {self._lines}"

    def lines(self) -> list[str]:
        """Return every line, once nobody can write any more."""
        self._pipe.stream.close()
        self._thread.join(20)
        assert not self._thread.is_alive()
        return [line for line in self._lines if line]
