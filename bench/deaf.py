"""Noticing deaf connections: the machine of `core.hearing` against weeks of made-up traffic.

Nothing is simulated but traffic and what the server does with it: a deaf connection answers pings
and takes what is sent, and keeps what it should deliver; a reopening costs `_REOPENING` and brings
what was kept. The own phone is made up as well (`bench/deaf_phone.py`).
"""

import random
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timedelta
from functools import partial

from bench.deaf_findings import Findings, Noticed
from bench.deaf_phone import MEASURED, Habits, Phone
from bench.deaf_traffic import MODELS, START, Happening, Kind, Traffic
from perene.core.hearing import (
    Answered,
    Closed,
    Confirmed,
    FalseAlarm,
    Heard,
    Hearing,
    HearingEffect,
    HearingEvent,
    HearingPolicy,
    Opened,
    Phase,
    Probe,
    ProbeAnswered,
    Reopen,
    Sent,
    StanzaKind,
    Ticked,
    next_deadline,
    step,
)

_PROBE = timedelta(seconds=0.3)
_REOPENING = timedelta(seconds=2)
LEARNING = timedelta(days=14)
"""The first fortnight is told apart: days of the week have to be known, each twice."""
_MONTH_S = 30 * 86_400.0
_KINDS = {Kind.MESSAGE: StanzaKind.MESSAGE, Kind.RECEIPT: StanzaKind.RECEIPT}

_EVERY = {
    "busy": timedelta(hours=12),
    "uneven": timedelta(hours=12),
    "slow": timedelta(days=2),
    "silent": timedelta(days=40),
    "bursty": timedelta(days=4),
    "notifier": timedelta(days=2),
}
"""How often a session turns deaf, in the mean: often, but seldom before it was noticed."""
SURE = 12.0
"""So many expected and none there: who knows the rates, and nothing else, may be sure then. Chance
does that once in 160,000 silences, to the busiest session once in six weeks."""
TUNED_ON = range(1, 7)
HELD_OUT = range(501, 509)
"""Seeds. What is reported was not looked at while the policy was made."""


class Session:
    """One session: its machine, its phone, and a server that may be deaf towards it."""

    def __init__(
        self, policy: HearingPolicy, found: Findings, phone: Phone, traffic: Traffic
    ) -> None:
        self.state = Hearing(policy=policy)
        self.found = found
        self.deaf = False
        self._phone = phone
        self._traffic = traffic
        self._heard_at = START
        self._kept: list[tuple[datetime, StanzaKind]] = []
        self._answer_at: datetime | None = None
        self._step(Opened(), START)

    def until(self, moment: datetime) -> None:
        """Let all happen that time brings before this moment."""
        while self._answer_at is not None or self._may_be_due(moment):
            due, answer = next_deadline(self.state), self._answer_at
            if answer is not None and answer <= moment and (due is None or answer <= due):
                self._answer_at = None
                self._deliver(StanzaKind.PHONE, answer)
                continue
            if due is None or due > moment:
                return
            self._step(Ticked(), due)
            if next_deadline(self.state) == due:
                # Times are rounded to microseconds; a look is never earlier than a millisecond.
                self._step(Ticked(), due + timedelta(milliseconds=1))

    def _may_be_due(self, moment: datetime) -> bool:
        """Tell whether time may bring anything; quick, as most stanzas come close together."""
        state = self.state
        if state.phase is not Phase.LISTENING or state.heard_at is None:
            return True
        if state.replies.began is not None or state.untaken:
            return True
        return moment - state.heard_at > state.policy.least_silence

    def happen(self, one: Happening) -> None:
        """Let a message come or go, or a receipt come."""
        if one.kind is Kind.SENT:
            self._step(Sent(), one.at)
            self._step(Answered(), one.at)
        else:
            self._deliver(_KINDS[one.kind], one.at)

    def _deliver(self, kind: StanzaKind, at: datetime) -> None:
        if self.deaf:
            self._kept.append((at, kind))
        else:
            if kind is not StanzaKind.PHONE:
                self._heard_at = at
            self._step(Heard(kind=kind), at)

    def _step(self, event: HearingEvent, now: datetime) -> None:
        self.state, effects = step(self.state, event, now)
        for effect in effects:
            self._perform(effect, now)

    def _perform(self, effect: HearingEffect, now: datetime) -> None:
        learning = now - START < LEARNING
        match effect:
            case Probe():
                if effect.ask_phone:
                    self.found.asked += not learning
                    self.found.asked_early += learning
                    self._answer_at = self._phone.answer_to(now) or self._answer_at
                self._step(ProbeAnswered(phone_asked=effect.ask_phone), now + _PROBE)
            case Reopen():
                self._reopen(now)
            case FalseAlarm() if learning:
                self.found.false_early += 1
            case FalseAlarm():
                self.found.false_at.append(now)
            case Confirmed():
                self.found.confirmed += 1

    def _reopen(self, now: datetime) -> None:
        self._step(Closed(), now)
        was_deaf, self.deaf = self.deaf, False
        back = now + _REOPENING
        kept, self._kept = self._kept, []
        missed = [at for at, kind in kept if kind is not StanzaKind.PHONE]
        if was_deaf and missed:
            after_s = (now - missed[0]).total_seconds()
            sure_at = self._traffic.sure_at(self._heard_at, SURE) or now
            late_s = max(0.0, (now - sure_at).total_seconds())
            self.found.reopened_deaf += 1
            self.found.noticed.append(
                Noticed(first_missed=missed[0], after_s=after_s, missed=len(missed), late_s=late_s)
            )
        if missed:
            self._heard_at = now
        self._step(Opened(), back)
        for at, kind in kept:
            stamp = at.replace(microsecond=0)
            self._step(Heard(kind=kind, queued=True, queued_at=stamp), back)


def run_quiet(
    name: str, *, seed: int, days: int, policy: HearingPolicy, phone: Habits = Habits.ANSWERS
) -> Findings:
    """Let a session live that never turns deaf, and count its false restarts."""
    rng = random.Random(f"{seed} {name}")
    length = timedelta(days=days)
    found = Findings()
    traffic = Traffic(name, rng, length)
    session = Session(policy, found, Phone(phone, f"{seed} phone", START), traffic)
    for one in traffic:
        session.until(one.at)
        session.happen(one)
    session.until(START + length)
    found.months += max(0.0, (length - LEARNING).total_seconds()) / _MONTH_S
    found.early += min(length, LEARNING) / LEARNING
    return found


def run_deaf(
    name: str,
    *,
    seed: int,
    days: int,
    policy: HearingPolicy,
    phone: Habits = Habits.ANSWERS,
    every: timedelta | None = None,
) -> Findings:
    """Let a session turn deaf every few days, at random times, and measure until it is noticed."""
    rng = random.Random(f"{seed} {name} deaf")
    every_s = (every or _EVERY[name]).total_seconds()
    found = Findings()
    traffic = Traffic(name, rng, timedelta(days=days))
    session = Session(policy, found, Phone(phone, f"{seed} phone", START), traffic)
    turns = START + LEARNING + timedelta(seconds=rng.expovariate(1 / every_s))
    for one in traffic:
        session.until(one.at)
        if not session.deaf and one.at >= turns and one.kind is not Kind.SENT:
            # It turns deaf between two stanzas; the next is the first that it misses.
            session.deaf = True
            found.deaf += 1
            turns = one.at + timedelta(seconds=rng.expovariate(1 / every_s))
        session.happen(one)
        if session.deaf:
            turns = max(turns, one.at + min(timedelta(hours=6), timedelta(seconds=every_s)))
    found.unnoticed += session.deaf
    return Findings(
        deaf=found.deaf,
        confirmed=found.confirmed,
        reopened_deaf=found.reopened_deaf,
        unnoticed=found.unnoticed,
        noticed=found.noticed,
    )


def measure(
    name: str,
    *,
    seeds: Iterable[int],
    days: int,
    policy: HearingPolicy | None = None,
    phone: Habits = Habits.ANSWERS,
) -> Findings:
    """Return the findings of a model: for each seed a session that hears, and one that turns deaf.

    A silent session needs four times as long to be measured, and costs nothing to simulate.
    """
    found = Findings()
    length = days * 4 if name in ("silent", "slow") else days
    for seed in seeds:
        for run in (run_quiet, run_deaf):
            found.add(
                run(name, seed=seed, days=length, policy=policy or HearingPolicy(), phone=phone)
            )
    return found


def measure_all(
    *, seeds: range, days: int, names: Iterable[str] = MODELS
) -> Mapping[tuple[str, Habits], Findings]:
    """Return the findings of models with each kind of phone, measured by all processors."""
    found: dict[tuple[str, Habits], Findings] = {}
    with ProcessPoolExecutor() as pool:
        for name in names:
            for phone in MEASURED:
                one = partial(_of_seed, name=name, days=days, phone=phone)
                found[name, phone] = Findings()
                for part in pool.map(one, seeds):
                    found[name, phone].add(part)
    return found


def _of_seed(seed: int, *, name: str, days: int, phone: Habits) -> Findings:
    return measure(name, seeds=(seed,), days=days, phone=phone)
