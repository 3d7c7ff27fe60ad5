"""The command `perene policy`: what follows from each way that a connection can end."""

import json
from collections.abc import Mapping

from perene.cli.session_text import words
from perene.cli.writing import table
from perene.core.causes import Cause
from perene.core.policy import POLICIES, Policy, Reaction

_COLUMNS = ("CAUSE", "REACTION", "SCHEDULE", "LIMIT", "THEN", "SENTENCE")
_CHANGED = "*"


def policies_table(policies: Mapping[Cause, Policy]) -> str:
    """Return a line for each cause; what differs from the shipped policies bears a star."""
    rows = [_row(cause, policy) for cause, policy in policies.items()]
    drawn = table(_COLUMNS, rows)
    if any(policies[cause] != POLICIES[cause] for cause in policies):
        drawn += f"\n\n{_CHANGED} changed by PERENE_POLICIES"
    return drawn


def policies_json(policies: Mapping[Cause, Policy]) -> str:
    """Return an object with a member for each cause, as JSON."""
    told = {
        cause: {
            "reaction": policy.reaction,
            "schedule": None if policy.schedule is None else policy.schedule.describe(),
            "limit": policy.limit,
            "then": None if policy.limit is None else policy.then,
            "sets_credentials_aside": policy.archive,
            "holds_over_a_restart": policy.holds,
            "sentence": policy.sentence,
            "changed": _changed(cause, policy),
        }
        for cause, policy in policies.items()
    }
    return json.dumps(told, indent=2, ensure_ascii=False)


def _changed(cause: Cause, policy: Policy) -> list[str]:
    shipped = POLICIES[cause]
    return [
        part for part in ("schedule", "limit") if getattr(policy, part) != getattr(shipped, part)
    ]


def _row(cause: Cause, policy: Policy) -> tuple[str, ...]:
    changed = _changed(cause, policy)
    schedule = "" if policy.schedule is None else policy.schedule.describe()
    if policy.limit is not None:
        limit, then = str(policy.limit), words(policy.then)
    else:
        limit, then = ("no limit" if policy.schedule is not None else ""), ""
    return (
        str(cause),  # as PERENE_POLICIES names it
        "nothing" if policy.reaction is Reaction.NONE else words(policy.reaction),
        schedule + _CHANGED * ("schedule" in changed),
        limit + _CHANGED * ("limit" in changed),
        then,
        policy.sentence,
    )
