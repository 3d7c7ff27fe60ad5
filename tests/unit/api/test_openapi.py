"""The service keeps to its own OpenAPI document, whatever it is sent."""

from typing import Any, cast

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from perene.api import create_app
from perene.core.errors import StorageError
from perene.core.ids import SessionId
from tests.unit.api.fakes import KEY, QR, FakeEvents, Fakes

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


class EndingEvents(FakeEvents):
    """A stream of these ends where an honest one would wait for ever."""

    async def wait_for_new(self, seq: int) -> None:
        raise StorageError("There will be no more.")


def a_service() -> FastAPI:
    fakes = Fakes(events=EndingEvents())
    fakes.gateway.add("one")
    fakes.gateway.add("two", paired=False)
    fakes.gateway.lose("one")
    fakes.gateway.lose("one")
    fakes.gateway.qr[SessionId("two")] = QR
    fakes.messages.add("one", "olá", chat="5511999990000@s.whatsapp.net", message_id="3EB0AA")
    return create_app(fakes.ports())


def is_plain_on_the_wire(value: object) -> bool:
    """Tell whether a query shows no difference between a list and its one item, or nothing.

    What lies in a list that lies in a list is written as if it lay in the outer one.
    """
    if not isinstance(value, list | dict):
        return False
    inner = cast("list[object]", value)
    return sum(len(cast("list[object]", v)) if isinstance(v, list | dict) else 1 for v in inner) < 2


schema = schemathesis.openapi.from_asgi("/openapi.json", a_service())


@schema.hook
def filter_case(context: schemathesis.HookContext, case: "schemathesis.Case[Any]") -> bool:
    """Leave out a list of one item that is meant to be wrong, where no list is asked for.

    `session=["false"]` would be sent as `session=false`, which is right. An item that is wrong is
    tried without its list, too.
    """
    wrong = case.meta is not None and case.meta.generation.mode.is_negative
    return not wrong or not any(map(is_plain_on_the_wire, (case.query or {}).values()))


@pytest.mark.timeout(120)
@schema.parametrize()  # pyright: ignore[reportUntypedFunctionDecorator] # untyped in schemathesis
@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.data_too_large,
    ],
)
def test_every_answer_is_as_documented(case: "schemathesis.Case[Any]"):
    case.headers["X-Api-Key"] = KEY
    case.call_and_validate(checks=CHECKS)
