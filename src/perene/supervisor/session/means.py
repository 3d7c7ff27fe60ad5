"""What every session's task works with."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from perene.core.causes import Cause
from perene.core.clock import Clock
from perene.core.policy import Policy
from perene.supervisor.gate.start_gate import StartGate
from perene.supervisor.metrics import Metrics
from perene.supervisor.session.ports import MakeEngine, Ownership


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """One of each thing for the tasks of all sessions.

    `ownership` is how they own in the store what they drive, `connect` makes their connections,
    which begin when the `gate` lets them; `policies` say what follows from each cause.
    """

    ownership: Ownership
    connect: MakeEngine
    gate: StartGate
    clock: Clock
    rng: random.Random
    metrics: Metrics
    policies: Mapping[Cause, Policy]
