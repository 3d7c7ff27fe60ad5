"""The numbers of the service, in Prometheus' text format.

None of them has a label for the session: there may be thousands, and each label is a series for
ever. Which session it was is in the events, the outages and the detailed health.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from perene.core.causes import Cause
from perene.core.notices import DeafOutcome
from perene.core.outages import OutageEnd
from perene.core.sessions import Connection
from perene.process.room import Room

# The time at which a series began is a series of its own otherwise, which doubles the page.
disable_created_metrics()

_Family = CounterMetricFamily | GaugeMetricFamily

_RECONNECT_BUCKETS_S = (0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 14_400, 43_200, 86_400)
_COMMIT_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Kind(StrEnum):
    """How a metric is to be read."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What a metric is called, how it is read, and what it means."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


TRANSITIONS = Definition(
    name="perene_session_transitions_total",
    kind=Kind.COUNTER,
    meaning="Changes of a connection's state.",
    labels=("from", "to"),
)
SESSIONS = Definition(
    name="perene_sessions",
    kind=Kind.GAUGE,
    meaning="Sessions by the state of their connection.",
    labels=("state",),
)
DISCONNECTS = Definition(
    name="perene_disconnects_total",
    kind=Kind.COUNTER,
    meaning="Connections that ended, or could not be made, by cause.",
    labels=("cause",),
)
RECONNECT_SECONDS = Definition(
    name="perene_reconnect_seconds",
    kind=Kind.HISTOGRAM,
    meaning="Time from the loss of a connection until the session was open again.",
    buckets=_RECONNECT_BUCKETS_S,
)
OUTAGES = Definition(
    name="perene_outages_total",
    kind=Kind.COUNTER,
    meaning="Outages that are over, by how they ended.",
    labels=("end",),
)
FAILURES = Definition(
    name="perene_session_failures_total",
    kind=Kind.COUNTER,
    meaning="Sessions' tasks that ended by a bug and were started again.",
)
DEAF = Definition(
    name="perene_deaf_suspicions_total",
    kind=Kind.COUNTER,
    meaning="Open connections that were suspected to deliver nothing, by what came of it.",
    labels=("outcome",),
)
COMMIT_SECONDS = Definition(
    name="perene_commit_seconds",
    kind=Kind.HISTOGRAM,
    meaning="Time that a group of units took to be saved, tries and waits included.",
    buckets=_COMMIT_BUCKETS_S,
)
COMMITTED_UNITS = Definition(
    name="perene_committed_units_total",
    kind=Kind.COUNTER,
    meaning="Units that were committed; a unit is all that one stanza changes.",
)
MESSAGES_STORED = Definition(
    name="perene_messages_stored_total",
    kind=Kind.COUNTER,
    meaning="Messages from WhatsApp that were new to the database.",
)
ALERTS_FIRING = Definition(
    name="perene_alerts_firing",
    kind=Kind.GAUGE,
    meaning="Alerts that are open at this moment.",
    labels=("rule", "severity"),
)
EVENT_LOOP_LAG = Definition(
    name="perene_event_loop_lag_seconds",
    kind=Kind.GAUGE,
    meaning="Longest time in the last minute for which everything stood still.",
)
DISK_FREE = Definition(
    name="perene_disk_free_bytes",
    kind=Kind.GAUGE,
    meaning="Room left where the data directory is, and where an SQLite database is if that is"
    " another file system.",
    labels=("kept",),
)
INODES_USED = Definition(
    name="perene_disk_inodes_used_ratio",
    kind=Kind.GAUGE,
    meaning="Inodes that are used there, 0 to 1; not told by file systems without such a limit.",
    labels=("kept",),
)
LOG_LINES_LOST = Definition(
    name="perene_log_lines_lost_total",
    kind=Kind.COUNTER,
    meaning="Log lines that were not written, because nobody read them or the disk was full.",
)

DEFINITIONS = (
    TRANSITIONS,
    SESSIONS,
    DISCONNECTS,
    RECONNECT_SECONDS,
    OUTAGES,
    FAILURES,
    DEAF,
    COMMIT_SECONDS,
    COMMITTED_UNITS,
    MESSAGES_STORED,
    ALERTS_FIRING,
    EVENT_LOOP_LAG,
    DISK_FREE,
    INODES_USED,
    LOG_LINES_LOST,
)
"""Every metric of Perene's own; the usual ones of the process come with them."""


class Metrics:
    """Counts what it is told; each call costs a few memory accesses and never fails.

    Implements `ports.MetricsSource`. What is counted at the moment of reading (sessions, alerts)
    is given as a function, so that it can never drift from the truth.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._transitions = self._counter(TRANSITIONS)
        self._disconnects = self._counter(DISCONNECTS)
        self._outages = self._counter(OUTAGES)
        self._failures = self._counter(FAILURES)
        self._deaf = self._counter(DEAF)
        self._units = self._counter(COMMITTED_UNITS)
        self._messages = self._counter(MESSAGES_STORED)
        self._reconnects = self._histogram(RECONNECT_SECONDS)
        self._commits = self._histogram(COMMIT_SECONDS)

    # Told by the sessions' tasks

    def transition(self, before: Connection, after: Connection) -> None:
        """A connection's state changed."""
        self._transitions.labels(before.value, after.value).inc()

    def disconnected(self, cause: Cause) -> None:
        """A connection ended, or could not be made."""
        self._disconnects.labels(cause.value).inc()

    def recovered(self, seconds: float) -> None:
        """A session is open again, so many seconds after its connection was lost."""
        self._reconnects.observe(max(0.0, seconds))

    def outage_ended(self, end: OutageEnd) -> None:
        """An outage is over."""
        self._outages.labels(end.value).inc()

    def task_failed(self) -> None:
        """A session's task ended by a bug."""
        self._failures.inc()

    def deaf(self, outcome: DeafOutcome) -> None:
        """A suspicion that a connection is deaf was confirmed, or was a false alarm."""
        self._deaf.labels(outcome.value).inc()

    # Told by the committer

    def committed(self, seconds: float, units: int, new_messages: int) -> None:
        """A group of units was saved."""
        self._commits.observe(seconds)
        self._units.inc(units)
        self._messages.inc(new_messages)

    # Looked at when the metrics are read

    def watch_sessions(self, count: Callable[[], Mapping[Connection, int]]) -> None:
        """Show how many sessions are in each state; `count` is called at each reading."""

        def rows() -> Iterator[tuple[tuple[str, ...], float]]:
            now = count()
            for state in Connection:
                yield (state.value,), now.get(state, 0)

        self.registry.register(_Looked(SESSIONS, rows))

    def watch_alerts(self, count: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        """Show the open alerts, counted by rule and severity at each reading."""

        def rows() -> Iterable[tuple[tuple[str, ...], float]]:
            return list(count().items())

        self.registry.register(_Looked(ALERTS_FIRING, rows))

    def watch_loop(self, lag_s: Callable[[], float]) -> None:
        """Show how late the event loop was; `lag_s` is called at each reading."""
        self.registry.register(_Looked(EVENT_LOOP_LAG, lambda: [((), lag_s())]))

    def watch_disks(self, rooms: Callable[[], Mapping[str, Room]]) -> None:
        """Show what is left of each disk, by what is kept there, at each reading."""
        self.registry.register(
            _Looked(
                DISK_FREE, lambda: [((kept,), room.free_bytes) for kept, room in rooms().items()]
            )
        )
        self.registry.register(
            _Looked(
                INODES_USED,
                lambda: [
                    ((kept,), room.files_share)
                    for kept, room in rooms().items()
                    if room.files_share is not None
                ],
            )
        )

    def watch_log(self, lost: Callable[[], int]) -> None:
        """Show how many lines of the log were lost; `lost` is called at each reading."""
        self.registry.register(_Looked(LOG_LINES_LOST, lambda: [((), lost())]))

    def exposition(self) -> bytes:
        """Return every metric in Prometheus' text format (version 0.0.4, UTF-8)."""
        return generate_latest(self.registry)

    def _counter(self, metric: Definition) -> Counter:
        return Counter(metric.name, metric.meaning, metric.labels, registry=self.registry)

    def _histogram(self, metric: Definition) -> Histogram:
        return Histogram(
            metric.name,
            metric.meaning,
            metric.labels,
            registry=self.registry,
            buckets=metric.buckets,
        )


class _Looked(Collector):
    """A metric whose values are asked for when they are read."""

    def __init__(
        self, metric: Definition, rows: Callable[[], Iterable[tuple[tuple[str, ...], float]]]
    ) -> None:
        self._metric = metric
        self._rows = rows

    def describe(self) -> Iterable[_Family]:
        yield self._family()

    def collect(self) -> Iterable[_Family]:
        family = self._family()
        for labels, value in self._rows():
            family.add_metric(labels, value)
        yield family

    def _family(self) -> _Family:
        kind = CounterMetricFamily if self._metric.kind is Kind.COUNTER else GaugeMetricFamily
        return kind(self._metric.name, self._metric.meaning, labels=self._metric.labels)
