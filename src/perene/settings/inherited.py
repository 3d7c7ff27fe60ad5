"""Names that deployments of other gateways use for the same settings."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource


@dataclass(frozen=True, slots=True, kw_only=True)
class InheritedName:
    """A variable of another program that sets one of our fields, in its own unit.

    `per_unit` says how many of the variable's units make one of the field's.
    """

    field: str
    per_unit: int


INHERITED: Mapping[str, InheritedName] = {
    "BAILEYS_CONNECT_TIMEOUT_MS": InheritedName(field="connect_timeout_s", per_unit=1000),
    "BAILEYS_KEEP_ALIVE_INTERVAL_MS": InheritedName(field="keepalive_s", per_unit=1000),
    "BAILEYS_QR_TIMEOUT": InheritedName(field="qr_timeout_s", per_unit=1000),
    "BAILEYS_MAX_MSG_RETRY_COUNT": InheritedName(field="max_message_retries", per_unit=1),
    "BAILEYS_RETRY_REQUEST_DELAY_MS": InheritedName(field="retry_delay_ms", per_unit=1),
}
"""Names that deployments of other gateways use; a `PERENE_` variable wins over them."""


class InheritedSource(PydanticBaseSettingsSource):
    """Reads the `INHERITED` names, converted into the units of our fields."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        for variable, name in INHERITED.items():
            raw = os.environ.get(variable, "").strip()
            if name.field == field_name and raw:
                return _converted(raw, name), field_name, False
        return None, field_name, False

    def __call__(self) -> dict[str, object]:
        found = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in found.items() if value is not None}


def _converted(raw: str, name: InheritedName) -> float | str:
    if name.per_unit == 1 or not re.fullmatch(r"\d{1,12}", raw):
        return raw  # what is not a number is refused by the field itself
    return int(raw) / name.per_unit
