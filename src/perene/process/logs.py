"""Log lines: structured, one sink, and without anything that must not be read there.

Loggers come from `structlog.stdlib.get_logger()`; libraries that use `logging` join the same
sink. Numbers are masked in every line, whoever wrote it; bodies and secrets are left out by name.
"""

import contextlib
import logging
import re
import sys
from collections.abc import Mapping
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from perene.core import masking

_SPACED = re.compile(r"\+[0-9](?:[ ().-]{0,2}[0-9]){7,14}")
"""A number as people write it: +55 (11) 99999-0000."""

_AS_LONG_AS_A_NUMBER = 10**9
"""Counts are shorter than this; a number of ten digits is rather somebody's."""

_LEFT_OUT = frozenset(
    {
        "api_key",
        "authorization",
        "body",
        "caption",
        "content",
        "master_key",
        "pairing_code",
        "password",
        "plaintext",
        "private_key",
        "qr",
        "secret",
        "text",
        "x-api-key",
    }
)
"""Fields whose value never reaches a line."""


class _Lossy:
    """A stream that loses what cannot be written: a full disk or a reader that is gone must not
    end a session, or the service, because it has something to tell."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):  # the latter for one that is closed
            self._out.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._out.flush()

    def isatty(self) -> bool:
        return self._out.isatty()


def setup_logs(level: str, form: str, stream: TextIO | None = None) -> None:
    """Send every log line from `level` up to a stream (standard error), as "json" or "console".

    Can be called again; the last call holds.
    """
    out = cast("TextIO", _Lossy(stream or sys.stderr))
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if form == "json":
        shared.append(structlog.processors.format_exc_info)
        renderer: Processor = structlog.processors.JSONRenderer(ensure_ascii=False)
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=out.isatty())
        shared.append(structlog.processors.format_exc_info)
    shared.append(leave_out)
    shared.append(mask_numbers)
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        # A cached logger would keep the stream of an earlier call.
        cache_logger_on_first_use=False,
    )
    _join_standard_logging(shared, renderer, threshold, out)


def _join_standard_logging(
    shared: list[Processor], renderer: Processor, threshold: int, out: TextIO
) -> None:
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *shared,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    # Libraries tell their everyday life at "info"; only what needs attention is wanted of them.
    root.setLevel(max(threshold, logging.WARNING))


def mask(text: str) -> str:
    """Return a text with every phone number cut down to its last four digits."""
    return masking.mask_numbers(_SPACED.sub(lambda match: "***" + match[0][-4:], text))


def mask_numbers(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Mask numbers in every text of a line, however deep, keys included."""
    del logger, method
    return cast("EventDict", {key: _masked(value, key) for key, value in event.items()})


def leave_out(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Replace the values of fields that may hold a body or a secret."""
    del logger, method
    return cast("EventDict", _emptied(event))


def _masked(value: object, key: str = "") -> object:
    if key == "timestamp" or value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return mask(str(value)) if abs(value) >= _AS_LONG_AS_A_NUMBER else value
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {mask(str(name)): _masked(item) for name, item in items}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(item) for item in cast("list[object]", value)]
    return mask(str(value))


def _emptied(value: object) -> object:
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {
            name: "[left out]" if str(name).lower() in _LEFT_OUT else _emptied(item)
            for name, item in items
        }
    if isinstance(value, bytes | bytearray):
        return f"[{len(value)} bytes]"
    return value
