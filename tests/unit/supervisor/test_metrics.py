"""What is counted is shown in Prometheus' text format."""

import asyncio
from collections.abc import Sequence

from prometheus_client.parser import text_string_to_metric_families

from perene.core.causes import Cause
from perene.core.ids import CommitId, Epoch, SessionId
from perene.core.notices import DeafOutcome
from perene.core.outages import OutageEnd
from perene.core.sessions import Connection
from perene.core.unit import Committed, Unit
from perene.process.room import Room
from perene.supervisor.metrics import DEFINITIONS, Kind, Metrics
from perene.supervisor.session.live import LiveState
from perene.supervisor.storage.committer import Committer
from perene.supervisor.storage.saver import SavePolicy, Saver
from tests.support.commits import nothing_unheard
from tests.support.virtual_clock import START, VirtualClock

Labels = tuple[tuple[str, str], ...]


def shown(metrics: Metrics) -> dict[tuple[str, Labels], float]:
    """Return every sample by its name and labels, as a Prometheus server reads them."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
    }


def test_what_is_told_is_counted() -> None:
    metrics = Metrics()
    metrics.disconnected(Cause.DNS)
    metrics.disconnected(Cause.DNS)
    metrics.recovered(3.0)
    metrics.outage_ended(OutageEnd.RECOVERED)
    metrics.task_failed()
    metrics.deaf(DeafOutcome.CONFIRMED)
    metrics.committed(0.02, 5, 3)
    values = shown(metrics)
    assert values["perene_disconnects_total", (("cause", "dns"),)] == 2
    assert values["perene_reconnect_seconds_count", ()] == 1
    assert values["perene_reconnect_seconds_bucket", (("le", "2.0"),)] == 0
    assert values["perene_reconnect_seconds_bucket", (("le", "5.0"),)] == 1
    assert values["perene_outages_total", (("end", "recovered"),)] == 1
    assert values["perene_session_failures_total", ()] == 1
    assert values["perene_deaf_suspicions_total", (("outcome", "confirmed"),)] == 1
    assert values["perene_commit_seconds_sum", ()] == 0.02
    assert values["perene_committed_units_total", ()] == 5
    assert values["perene_messages_stored_total", ()] == 3


def test_a_clock_that_was_set_back_counts_no_negative_time() -> None:
    metrics = Metrics()
    metrics.recovered(-5.0)
    assert shown(metrics)["perene_reconnect_seconds_sum", ()] == 0


def test_transitions_of_a_session_are_counted_by_both_ends() -> None:
    metrics = Metrics()
    live = LiveState(on_transition=metrics.transition)
    live.moved(Connection.CONNECTING)
    live.moved(Connection.WAITING)
    live.moved(Connection.CONNECTING)
    values = shown(metrics)
    name = "perene_session_transitions_total"
    assert values[name, (("from", "stopped"), ("to", "connecting"))] == 1
    assert values[name, (("from", "connecting"), ("to", "waiting"))] == 1
    assert values[name, (("from", "waiting"), ("to", "connecting"))] == 1


def test_sessions_and_alerts_are_counted_when_they_are_read() -> None:
    metrics = Metrics()
    sessions = {Connection.OPEN: 2}
    alerts = {("session-down", "critical"): 1}
    metrics.watch_sessions(lambda: sessions)
    metrics.watch_alerts(lambda: alerts)
    firing = ("perene_alerts_firing", (("rule", "session-down"), ("severity", "critical")))
    assert shown(metrics)["perene_sessions", (("state", "open"),)] == 2
    assert shown(metrics)["perene_sessions", (("state", "waiting"),)] == 0
    assert shown(metrics)[firing] == 1
    sessions.clear()
    alerts.clear()
    assert shown(metrics)["perene_sessions", (("state", "open"),)] == 0
    assert firing not in shown(metrics)


def test_lost_lines_of_the_log_are_counted_when_they_are_read() -> None:
    metrics = Metrics()
    metrics.watch_log(lambda: 7)
    assert shown(metrics)["perene_log_lines_lost_total", ()] == 7


def test_each_disk_is_shown_by_what_is_kept_there() -> None:
    metrics = Metrics()
    rooms = {"data directory": Room(free_bytes=5), "database": Room(free_bytes=7, most_files=1)}
    metrics.watch_disks(lambda: rooms)
    found = shown(metrics)
    assert found["perene_disk_free_bytes", (("kept", "data directory"),)] == 5
    assert found["perene_disk_free_bytes", (("kept", "database"),)] == 7
    assert found["perene_disk_inodes_used_ratio", (("kept", "database"),)] == 1
    assert ("perene_disk_inodes_used_ratio", (("kept", "data directory"),)) not in found


def test_every_defined_metric_is_shown_with_its_kind_and_meaning() -> None:
    metrics = Metrics()
    metrics.watch_sessions(dict)
    metrics.watch_alerts(dict)
    metrics.watch_log(int)
    metrics.watch_disks(dict)
    metrics.watch_loop(float)
    text = metrics.exposition().decode()
    for metric in DEFINITIONS:
        assert f"# HELP {metric.name} {metric.meaning}\n" in text
        assert f"# TYPE {metric.name} {metric.kind}\n" in text


def test_names_follow_the_habits_of_prometheus() -> None:
    for metric in DEFINITIONS:
        assert metric.name.startswith("perene_")
        assert metric.name.endswith("_total") is (metric.kind is Kind.COUNTER)
        assert metric.meaning.endswith(".")


def test_no_label_can_grow_with_the_number_of_sessions() -> None:
    assert {label for metric in DEFINITIONS for label in metric.labels} <= {
        *("from", "to", "state", "cause", "end", "outcome", "rule", "severity", "kept")
    }


def test_two_services_in_one_process_count_apart() -> None:
    one, two = Metrics(), Metrics()
    one.task_failed()
    assert shown(two)["perene_session_failures_total", ()] == 0


async def test_a_commit_is_measured() -> None:
    async def commit(units: Sequence[Unit], _commit_id: CommitId) -> Sequence[Committed]:
        return [Committed(new_messages=2) for _ in units]

    metrics = Metrics()
    committer = Committer(
        Saver(
            commit=commit,
            recall=nothing_unheard,
            clock=VirtualClock(),
            policy=SavePolicy(),
            measure=metrics.committed,
        ),
        on_commit=lambda: None,
    )
    unit = Unit(session=SessionId("ana"), epoch=Epoch(1))
    saved = committer.lane().submit(unit)
    assert committer.waiting == 1
    life = asyncio.create_task(committer.run())
    await saved
    life.cancel()
    assert (committer.waiting, committer.committed_at) == (0, START)
    values = shown(metrics)
    assert values["perene_committed_units_total", ()] == 1
    assert values["perene_messages_stored_total", ()] == 2
    assert values["perene_commit_seconds_count", ()] == 1
