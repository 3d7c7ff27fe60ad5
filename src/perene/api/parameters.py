"""The parts of a request that several routes take, each checked in one place."""

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, cast, get_origin

from fastapi import Header, Path, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import AfterValidator, Field

from perene.core.ids import SESSION_ID


def _printable(text: str) -> str:
    # A NUL cannot be stored by every database, and other controls have no place in a name.
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise ValueError("control characters are not allowed")
    return text


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("the character U+0000 is not allowed")
    return text


SessionPath = Annotated[
    str, Path(alias="session_id", pattern=SESSION_ID, description="The session.")
]
MessagePath = Annotated[
    str,
    Path(
        alias="message_id",
        pattern=r"^[0-9A-Za-z._:=+@-]{1,128}$",
        description="WhatsApp's id of the message.",
    ),
]
Cursor = Annotated[
    str | None,
    Query(
        pattern=r"^[0-9A-Za-z._=-]{1,512}$",
        description="Where to go on: `next_cursor` of the page before.",
    ),
]
Limit = Annotated[int, Query(ge=1, le=500, description="Items of a page, at most.")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[!-~]{1,255}$",
        description="Any text of your own, new for each message. A request that is repeated under"
        " the same key sends nothing again and returns the first message.",
    ),
]
Name = Annotated[
    str,
    Field(min_length=1, max_length=200, description="A name for people."),
    AfterValidator(_printable),
]
Text = Annotated[
    str,
    Field(min_length=1, max_length=65536, description="The text to send."),
    AfterValidator(_without_nul),
]


async def refuse_repeated(request: Request) -> None:
    """Refuse a parameter that is repeated and is no list; the last of its values would count."""
    counts = Counter(name for name, _ in request.query_params.multi_items())
    repeated = [name for name, count in counts.items() if count > 1]
    if not repeated:
        return
    single = set(_single(cast("APIRoute", request.scope["route"]).dependant))
    wrong = [
        {"type": "repeated", "loc": ("query", name), "msg": "Give it once: it has one value."}
        for name in repeated
        if name in single
    ]
    if wrong:
        raise RequestValidationError(wrong)


def _single(dependant: Dependant) -> Iterator[str]:
    """Yield the query parameters of a route, and of what it depends on, that are no lists."""
    for field in dependant.query_params:
        if get_origin(field.field_info.annotation) is not list:
            yield field.alias
    for inner in dependant.dependencies:
        yield from _single(inner)
