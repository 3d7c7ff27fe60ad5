"""How a route gets at what it serves: one frozen value, put into the application when made."""

from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request

from perene.api.long_answers import LongAnswer
from perene.api.streams import Streams
from perene.supervisor.ports import (
    Accounts,
    Alerts,
    AlertTrial,
    Events,
    Gateway,
    HealthSource,
    Keys,
    Messages,
    MetricsSource,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything that the routes use."""

    gateway: Gateway
    messages: Messages
    accounts: Accounts
    events: Events
    keys: Keys
    health: HealthSource
    metrics: MetricsSource
    alerts: Alerts
    alert_trial: AlertTrial
    streams: Streams = field(default_factory=Streams)
    session_list: LongAnswer = field(default_factory=LongAnswer)
    detailed_health: LongAnswer = field(default_factory=LongAnswer)


def ports_of(request: Request) -> Ports:
    """Return what the request's application was made with."""
    return cast("Ports", request.app.state.ports)


async def _gateway(request: Request) -> Gateway:
    return ports_of(request).gateway


async def _messages(request: Request) -> Messages:
    return ports_of(request).messages


async def _accounts(request: Request) -> Accounts:
    return ports_of(request).accounts


async def _events(request: Request) -> Events:
    return ports_of(request).events


async def _health(request: Request) -> HealthSource:
    return ports_of(request).health


async def _metrics(request: Request) -> MetricsSource:
    return ports_of(request).metrics


async def _alerts(request: Request) -> Alerts:
    return ports_of(request).alerts


async def _alert_trial(request: Request) -> AlertTrial:
    return ports_of(request).alert_trial


async def _keys(request: Request) -> Keys:
    return ports_of(request).keys


async def _session_list(request: Request) -> LongAnswer:
    return ports_of(request).session_list


async def _detailed_health(request: Request) -> LongAnswer:
    return ports_of(request).detailed_health


async def _streams(request: Request) -> Streams:
    return ports_of(request).streams


GatewayPort = Annotated[Gateway, Depends(_gateway)]
MessagesPort = Annotated[Messages, Depends(_messages)]
AccountsPort = Annotated[Accounts, Depends(_accounts)]
EventsPort = Annotated[Events, Depends(_events)]
HealthPort = Annotated[HealthSource, Depends(_health)]
MetricsPort = Annotated[MetricsSource, Depends(_metrics)]
AlertsPort = Annotated[Alerts, Depends(_alerts)]
AlertTrialPort = Annotated[AlertTrial, Depends(_alert_trial)]
KeysPort = Annotated[Keys, Depends(_keys)]
SessionListPort = Annotated[LongAnswer, Depends(_session_list)]
DetailedHealthPort = Annotated[LongAnswer, Depends(_detailed_health)]
StreamsPort = Annotated[Streams, Depends(_streams)]
