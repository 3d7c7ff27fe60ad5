"""The user's own word on what follows from a cause: other schedules, other limits."""

from collections.abc import Mapping
from dataclasses import replace

from perene.core.causes import Cause
from perene.core.policy import POLICIES, Policy
from perene.core.schedules import Schedule


def policies_with(overrides: Mapping[str, str]) -> Mapping[Cause, Policy]:
    """Return the policies with some changed: {"network.limit": "50", "dns.schedule": "fixed:60"}.

    Only schedules and limits of causes that have one can be changed. Raises ValueError with a
    sentence that names the entry.
    """
    changed = dict(POLICIES)
    for name, value in overrides.items():
        cause_name, _, part = name.partition(".")
        try:
            cause = Cause(cause_name)
        except ValueError as error:
            raise ValueError(f"{name}: there is no cause {cause_name}") from error
        try:
            changed[cause] = _override(changed[cause], part, value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    return changed


def _override(policy: Policy, part: str, value: str) -> Policy:
    if part == "schedule" and policy.schedule is not None:
        return replace(policy, schedule=Schedule.parse(value))
    if part == "limit" and policy.limit is not None:
        if (
            not value.strip().isascii()
            or not value.strip().isdigit()
            or not 1 <= int(value) <= 1000
        ):
            raise ValueError("a limit is a number from 1 to 1000")
        return replace(policy, limit=int(value))
    raise ValueError("this cause has no such thing to set; see `perene policy`")
