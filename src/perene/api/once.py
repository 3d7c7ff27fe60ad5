"""Query parameters that have one value are given once."""

from collections import Counter
from collections.abc import Iterator
from typing import cast, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

_MESSAGE = "Give it once: it has one value."


async def each_once(request: Request) -> None:
    """Refuse a parameter that is repeated and is no list; the last of its values would count."""
    counts = Counter(name for name, _ in request.query_params.multi_items())
    repeated = [name for name, count in counts.items() if count > 1]
    if not repeated:
        return
    single = set(_single(cast("APIRoute", request.scope["route"]).dependant))
    wrong = [
        {"type": "repeated", "loc": ("query", name), "msg": _MESSAGE}
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
