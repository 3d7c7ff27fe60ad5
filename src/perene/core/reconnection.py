"""What follows the end of a connection: when to try again, or what to wait for.

A pure function of the cause and of what was tried before; the caller passes in randomness.
Schedules: requirement D4 for 515; facts/protocol.md §1.9 for the rest.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from perene.core.causes import VERDICTS, Cause, Reaction

STABLE_AFTER = timedelta(seconds=30)
"""How long a connection must have been open for its end to start a new count (whatsapp-rust)."""

RESTARTS_LIMIT = 10
"""Restarts in a row (515) before the credentials are set aside (requirement D7)."""

_RESTART_STEP = timedelta(minutes=5)
_BACKOFF_CAP = timedelta(seconds=900)
_RATE_LIMIT_STEPS = 5
_BAN_UNKNOWN = timedelta(hours=1)
"""A ban without a stated end; asking once an hour does not make it worse, and ends it in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """How often in a row a connection has ended without being stable, by what."""

    restarts: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do after an ending.

    `delay` is the time to wait before connecting again, None to wait for a person. `archive` says
    to set the credentials aside first.
    """

    attempts: Attempts
    delay: timedelta | None
    archive: bool = False
    give_up_restarts: bool = False


def plan(
    cause: Cause,
    before: Attempts,
    *,
    open_for: timedelta | None,
    jitter: float,
    ban: timedelta | None = None,
) -> Plan:
    """Return what follows. `open_for` is None if the login was never completed.

    `jitter` is a random number from 0 to 1; delays vary by 10 % either way with it. `ban` is how
    long a temporary ban lasts, if the server said so.
    """
    stable = open_for is not None and open_for >= STABLE_AFTER
    attempts = Attempts() if stable else before
    match VERDICTS[cause].reaction:
        case Reaction.RESTART:
            return _restart(attempts)
        case Reaction.RETRY:
            steps = _RATE_LIMIT_STEPS if cause is Cause.RATE_LIMITED else 0
            delay = _varied(_backoff(attempts.failures + steps), jitter)
            return Plan(attempts=replace(attempts, failures=attempts.failures + 1), delay=delay)
        case Reaction.WAIT_UNTIL:
            return Plan(attempts=attempts, delay=ban or _BAN_UNKNOWN)
        case Reaction.REPAIR:
            # Not at once: a server that refuses fresh credentials too must not be stormed.
            delay = _varied(_backoff(attempts.failures), jitter)
            return Plan(
                attempts=Attempts(failures=attempts.failures + 1), delay=delay, archive=True
            )
        case Reaction.NEW_CODE:
            return Plan(attempts=Attempts(), delay=_varied(timedelta(seconds=1), jitter))
        case Reaction.STOP | Reaction.NONE:
            return Plan(attempts=attempts, delay=None)


def _restart(attempts: Attempts) -> Plan:
    """Follow D4: at once, then 5 min, 10 min, 15 min …; after ten, D7."""
    count = attempts.restarts + 1
    if count > RESTARTS_LIMIT:
        return Plan(attempts=Attempts(), delay=timedelta(), archive=True, give_up_restarts=True)
    return Plan(attempts=replace(attempts, restarts=count), delay=_RESTART_STEP * (count - 1))


def _backoff(step: int) -> timedelta:
    """Return the Fibonacci schedule in seconds: 1, 1, 2, 3, 5 …, capped."""
    one, two = 1, 1
    for _ in range(min(step, 30)):
        one, two = two, one + two
    return min(timedelta(seconds=one), _BACKOFF_CAP)


def _varied(delay: timedelta, jitter: float) -> timedelta:
    return delay * (0.9 + 0.2 * jitter)
