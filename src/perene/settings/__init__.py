"""The settings: one frozen model, read once from the environment, handed down, never looked up."""

from perene.settings.inherited import INHERITED
from perene.settings.model import PREFIX, Settings
from perene.settings.reading import (
    OF_COMMANDS,
    WrongSetting,
    read_settings,
    unknown_variables,
    variable,
    what_to_give,
)

__all__ = [
    "INHERITED",
    "OF_COMMANDS",
    "PREFIX",
    "Settings",
    "WrongSetting",
    "read_settings",
    "unknown_variables",
    "variable",
    "what_to_give",
]
