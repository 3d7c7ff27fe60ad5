"""What is thought of an ending: its cause, and what follows from it."""

from collections.abc import Mapping
from dataclasses import dataclass

from perene.core.causes import Cause, Ending, Kind, Local, classify
from perene.core.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The raw evidence, its one cause, and the policy for that cause."""

    ending: Ending
    cause: Cause
    policy: Policy

    @classmethod
    def of(cls, ending: Ending, policies: Mapping[Cause, Policy]) -> "Verdict":
        """Judge an ending."""
        cause = classify(ending)
        return cls(ending=ending, cause=cause, policy=policies[cause])

    @classmethod
    def of_local(cls, local: Local, policies: Mapping[Cause, Policy]) -> "Verdict":
        """Judge what was noticed, or decided, on this side."""
        return cls.of(Ending(kind=Kind.LOCAL, code=local), policies)
