"""Reads the settings, and says in one sentence what is wrong with a variable."""

import difflib
import os
from collections.abc import Mapping
from typing import cast, get_args

from annotated_types import Ge, Le
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from perene.core.errors import RefusedToStart
from perene.settings.checks import Explained
from perene.settings.inherited import INHERITED
from perene.settings.model import PREFIX, Settings

OF_COMMANDS: Mapping[str, str] = {
    f"{PREFIX}URL": "Address of the running service; without it, where PERENE_HOST and PERENE_PORT"
    " have it listen.",
    f"{PREFIX}API_KEY": "API key to ask it with, unless --api-key-file names a file of one.",
}
"""Variables of the commands that ask a running service; they set nothing of the service."""


class WrongSetting(RefusedToStart):
    """A variable holds something that cannot be used."""

    code = "wrong_setting"
    remedy = "Change the named variable, or unset it to get its default, and start again."


def variable(field: str) -> str:
    """Return the name of the variable that sets a field."""
    return PREFIX + field.upper()


def what_to_give(field: FieldInfo, *, per_unit: int = 1) -> str:
    """Return what a field takes, as words that follow "give".

    `per_unit` tells it for a variable in a finer unit, which takes whole numbers only.
    """
    if isinstance(field.json_schema_extra, dict):
        return cast("dict[str, str]", field.json_schema_extra)["give"]
    if field.annotation is bool:
        return "true or false"
    if choices := get_args(field.annotation):
        return " or ".join(choices)
    low = next(rule for rule in field.metadata if isinstance(rule, Ge)).ge
    high = next(rule for rule in field.metadata if isinstance(rule, Le)).le
    kind = "a whole number" if field.annotation is int or per_unit != 1 else "a number"
    return f"{kind} from {_times(low, per_unit)} to {_times(high, per_unit)}"


def _times(bound: object, factor: int) -> str:
    assert isinstance(bound, int | float)
    return f"{bound * factor:.15g}"


def read_settings() -> Settings:
    """Read the settings from the environment; WrongSetting names what must change."""
    try:
        return Settings()
    except ValidationError as error:
        found = {str(detail["loc"][0]): _explanation(detail) for detail in error.errors()}
        sentences = (
            f"{variable(name)}: {told}" if told else _sentence(name) for name, told in found.items()
        )
        raise WrongSetting(" ".join(sentences)) from None


def _explanation(detail: ErrorDetails) -> str:
    """Return what a check of ours says of a value, "" when there is nothing more to say."""
    told = detail.get("ctx", {}).get("error")
    return str(told) if isinstance(told, Explained) else ""


def unknown_variables() -> tuple[str, ...]:
    """Return a sentence for every variable with our prefix that sets nothing."""
    known = [variable(name) for name in Settings.model_fields]
    sentences: list[str] = []
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known and name not in OF_COMMANDS:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
            hint = f"; did you mean {near[0]}?" if near else "."
            sentences.append(f"{name} is not a setting{hint}")
    return tuple(sentences)


def _sentence(name: str) -> str:
    """Say which variable is wrong and what to give; a secret's value is not repeated."""
    field = Settings.model_fields[name]
    source = variable(name)
    per_unit = 1
    if not os.environ.get(source, "").strip():
        for inherited, target in INHERITED.items():
            if target.field == name and os.environ.get(inherited, "").strip():
                source, per_unit = inherited, target.per_unit
    give = what_to_give(field, per_unit=per_unit)
    shown = os.environ.get(source, "")
    if "SecretStr" in str(field.annotation) or len(shown) > 100:
        return f"{source} cannot be used: give {give}."
    return f'{source} is "{shown}", which cannot be used: give {give}.'
