"""Whether an open connection still hears (requirement F3); `machine` says how it is told."""

from perene.core.hearing.due import next_deadline
from perene.core.hearing.events import (
    Answered,
    Closed,
    Confirmed,
    FalseAlarm,
    Heard,
    HearingEffect,
    HearingEvent,
    Opened,
    Probe,
    ProbeAnswered,
    ProbeFailed,
    Reason,
    Reopen,
    Sent,
    StanzaKind,
    Ticked,
)
from perene.core.hearing.machine import step
from perene.core.hearing.memory import parse, recalled, serialize
from perene.core.hearing.overrides import NUMBERS, hearing_with
from perene.core.hearing.policy import HearingPolicy
from perene.core.hearing.state import Hearing, Phase

__all__ = [
    "NUMBERS",
    "Answered",
    "Closed",
    "Confirmed",
    "FalseAlarm",
    "Heard",
    "Hearing",
    "HearingEffect",
    "HearingEvent",
    "HearingPolicy",
    "Opened",
    "Phase",
    "Probe",
    "ProbeAnswered",
    "ProbeFailed",
    "Reason",
    "Reopen",
    "Sent",
    "StanzaKind",
    "Ticked",
    "hearing_with",
    "next_deadline",
    "parse",
    "recalled",
    "serialize",
    "step",
]
