"""JSON objects of the core, as pydantic types them."""

from collections.abc import Mapping

from pydantic import JsonValue

from perene.core.events import Json


def json_object(value: Mapping[str, Json] | None) -> dict[str, JsonValue] | None:
    """Return the same object under pydantic's name for JSON."""
    return None if value is None else {key: _json(item) for key, item in value.items()}


def _json(value: Json) -> JsonValue:
    if isinstance(value, dict):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json(item) for item in value]
    return value
