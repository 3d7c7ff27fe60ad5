"""The command `perene policy`: what follows from each way that a connection can end.

And by which numbers one that is open is taken for deaf.
"""

import json
from collections.abc import Mapping

from perene.cli.session_text import words
from perene.cli.writing import table
from perene.core.causes import Cause
from perene.core.hearing import NUMBERS, HearingPolicy
from perene.core.policy import POLICIES, Policy, Reaction

_COLUMNS = ("CAUSE", "REACTION", "SCHEDULE", "SOONER BY", "LIMIT", "THEN", "SENTENCE")
_NUMBER_COLUMNS = ("DEAF CONNECTIONS", "NUMBER", "MEANING")
_CHANGED = "*"


def policies_table(policies: Mapping[Cause, Policy], hearing: HearingPolicy) -> str:
    """Return a line for each cause and each number; what differs from the shipped has a star."""
    causes = table(_COLUMNS, [_row(cause, policy) for cause, policy in policies.items()])
    numbers = table(_NUMBER_COLUMNS, _number_rows(hearing))
    drawn = f"{causes}\n\n{numbers}"
    if hearing != HearingPolicy() or any(policies[cause] != POLICIES[cause] for cause in policies):
        drawn += f"\n\n{_CHANGED} changed by PERENE_POLICIES"
    return drawn


def policies_json(policies: Mapping[Cause, Policy], hearing: HearingPolicy) -> str:
    """Return an object with a member for each cause, as JSON; `deaf` has its numbers besides."""
    told: dict[str, dict[str, object]] = {
        cause: {
            "reaction": policy.reaction,
            "schedule": None if policy.schedule is None else policy.schedule.describe(),
            "sooner_by": sorted(policy.relief),
            "limit": policy.limit,
            "then": None if policy.limit is None else policy.then,
            "sets_credentials_aside": policy.archive,
            "holds_over_a_restart": policy.holds,
            "sentence": policy.sentence,
            "changed": _changed(cause, policy),
        }
        for cause, policy in policies.items()
    }
    told[Cause.DEAF] |= {"hearing": {number.name: number.of(hearing) for number in NUMBERS}}
    return json.dumps(told, indent=2, ensure_ascii=False)


def _number_rows(hearing: HearingPolicy) -> list[tuple[str, str, str]]:
    shipped = HearingPolicy()
    return [
        (
            f"hearing.{number.name}",
            f"{number.of(hearing):g}" + _CHANGED * (number.of(hearing) != number.of(shipped)),
            number.meaning,
        )
        for number in NUMBERS
    ]


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
        ", ".join(sorted(policy.relief)),
        limit + _CHANGED * ("limit" in changed),
        then,
        policy.sentence,
    )
