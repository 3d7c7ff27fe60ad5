"""The text of `PERENE_POLICIES`: entries that change how connections are reopened, and when."""

import difflib
from collections.abc import Mapping, Sequence

from perene.core.causes import Cause
from perene.core.hearing import hearing_with
from perene.core.policy import POLICIES
from perene.core.policy_overrides import policies_with
from perene.settings.checks import Explained

HEARING = "hearing."
"""How entries begin that change when a connection is taken for deaf."""

_FORMS = {
    "limit": "a whole number from 1 to 1000",
    "schedule": "fixed:60, linear:300 or fibonacci:1..900 (seconds, a step from 1 up to its cap,"
    " a cap of at most seven days)",
}


def policy_entries(text: str) -> dict[str, str]:
    """Return "network.limit=50, dns.schedule=fixed:60" as names and values.

    Raises Explained for what is no entry, or one that was given before.
    """
    entries: dict[str, str] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, sign, value = (part.strip() for part in entry.partition("="))
        if not sign:
            raise Explained(f'"{entry}" is no entry: give cause.limit=… or cause.schedule=….')
        if name in entries:
            raise Explained(f'"{name}" is given twice: leave one of the two.')
        entries[name] = value
    return entries


def hearing_entries(entries: Mapping[str, str]) -> dict[str, str]:
    """Return the entries about deaf connections, as `hearing_with` takes them."""
    return {
        name.removeprefix(HEARING): value
        for name, value in entries.items()
        if name.startswith(HEARING)
    }


def cause_entries(entries: Mapping[str, str]) -> dict[str, str]:
    """Return the entries about causes, as `policies_with` takes them."""
    return {name: value for name, value in entries.items() if not name.startswith(HEARING)}


def check_policies(value: str) -> str:
    """Return a text of entries that can all be used; else Explained names the first that cannot."""
    entries = policy_entries(value)
    for name, given in hearing_entries(entries).items():
        try:
            hearing_with({name: given})
        except ValueError as error:
            raise Explained(f'"{HEARING}{name}={given}" cannot be used: {error}.') from error
    for name, given in cause_entries(entries).items():
        cause, _, part = name.partition(".")
        if cause not in POLICIES or not _settable(Cause(cause)):
            raise Explained(f'"{name}" names no cause that can be set{_hint(cause)}')
        parts = _settable(Cause(cause))
        if part not in parts:
            choices = " or ".join(f"{cause}.{one}" for one in parts)
            raise Explained(f'"{name}" cannot be set: give {choices}.')
        try:
            policies_with({name: given})
        except ValueError as error:
            raise Explained(f'"{name}={given}" cannot be used: give {_FORMS[part]}.') from error
    return value


def _settable(cause: Cause) -> Sequence[str]:
    return [part for part in _FORMS if getattr(POLICIES[cause], part) is not None]


def _hint(cause: str) -> str:
    causes = [one.value for one in POLICIES if _settable(one)]
    near = difflib.get_close_matches(cause, causes, n=1, cutoff=0.6)
    meant = f"; did you mean {near[0]}?" if near else "."
    return f"{meant} There are: {', '.join(causes)}; and hearing, for deaf connections."
