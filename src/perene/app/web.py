"""What faces outward: the HTTP API over the parts that it asks."""

from perene.api import HttpServer, Ports, Streams, create_app
from perene.app.sessions import Sessions
from perene.app.watch import Watch
from perene.core.clock import Clock
from perene.engine.content import readable_fields, text_message
from perene.settings import Settings
from perene.store.store import Store
from perene.supervisor.desks.messages import MessageDesk
from perene.supervisor.desks.sessions import SessionDesk
from perene.supervisor.metrics import Metrics

_REQUESTS = 10_000
"""Connections that the API takes besides event streams: some 200 MB at worst."""


def most_connections(settings: Settings, files: int | None) -> int:
    """Return how many connections the API takes: half of what may be open is for sessions.

    `files` is how many may be open, None for any number.
    """
    # A million may be open in many a container; each costs memory, and asks for no key.
    most = settings.max_event_streams + _REQUESTS
    return most if files is None else min(most, files // 2)


def wire_server(
    settings: Settings,
    store: Store,
    clock: Clock,
    metrics: Metrics,
    sessions: Sessions,
    watch: Watch,
    most_connections: int | None = None,
) -> HttpServer:
    """Make the HTTP server. It does not listen yet."""
    streams = Streams(limit=settings.max_event_streams)
    ports = _ports(store.aside(), clock, metrics, sessions, watch, streams)
    return HttpServer(
        create_app(
            ports,
            max_body_bytes=settings.max_body_bytes,
            metrics_public=settings.metrics_without_key,
        ),
        host=settings.host,
        port=settings.port,
        streams=streams,
        shutdown_timeout_s=settings.shutdown_timeout_s,
        most_connections=most_connections,
    )


def _ports(
    at_once: Store,
    clock: Clock,
    metrics: Metrics,
    sessions: Sessions,
    watch: Watch,
    streams: Streams,
) -> Ports:
    patiently = at_once.asked_by(sessions.retries.ask)
    return Ports(
        gateway=SessionDesk(
            patiently,
            sessions.supervisor,
            clock,
            sessions.retries,
            at_once=at_once,
            ring=sessions.feed.ring,
        ),
        messages=MessageDesk(
            patiently,
            clock,
            sessions.retries,
            compose=lambda text: text_message(text).SerializeToString(),
            read_fields=readable_fields,
            wake=sessions.supervisor.roster.wake_sender,
            doubt=sessions.supervisor.doubt,
            admission=sessions.accounts.admission,
        ),
        accounts=sessions.accounts,
        events=sessions.feed,
        keys=watch.looks.keys,
        health=watch.vitals,
        metrics=metrics,
        alerts=watch.alerting,
        alert_trial=watch.trial,
        streams=streams,
    )
