"""Every way to end, in every phase of a connection: one cause, one reaction, nothing lost."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from perene.core.events import EventType
from perene.core.outages import OutageEnd
from perene.core.sessions import Connection as State
from perene.sim import Settings
from tests.support import phases
from tests.support.network import Weather
from tests.support.phase import BAN_S, After, OneVersion, Phase, Seen, Way
from tests.support.world import World

AT_ONCE = (0.0, 0.0)
RATE_LIMITED = (7.2, 8.8)
MINUTES = (108.0, 132.0)


def stream_error(code: int, cause: str = "unknown") -> Way:
    """Return a `<stream:error>` with a code that is tried again like any network trouble."""
    return Way(name=f"stream error {code}", how="stream_error", code=code, cause=cause)


def refused(code: int, cause: str = "unknown") -> Way:
    """Return a `<failure>` that is tried again like any network trouble."""
    return Way(name=f"failure {code}", how="failure", code=code, cause=cause)


def held(way: Way) -> Way:
    return replace(way, after=After.HELD, wait=None)


STREAM_ERRORS = [
    stream_error(0),
    stream_error(400),
    stream_error(401),
    stream_error(403),
    stream_error(408),
    held(stream_error(409, "replaced")),
    stream_error(411),
    stream_error(413),
    stream_error(414),
    stream_error(428),
    replace(stream_error(429, "rate_limited"), wait=RATE_LIMITED),
    stream_error(440),
    stream_error(500, "server_unavailable"),
    stream_error(503, "server_unavailable"),
    replace(stream_error(515, "restart_required"), wait=AT_ONCE),
    replace(stream_error(516, "unlinked"), after=After.UNLINKED),
    stream_error(999),
    held(Way(name="replaced", how="replaced", cause="replaced")),
    Way(
        name="device removed",
        how="device_removed",
        cause="unlinked",
        after=After.UNLINKED,
        told="401",
    ),
    held(Way(name="another conflict", how="conflict", cause="replaced")),
    Way(name="ack owed", how="ack", cause="stream_ended", told="ack"),
    Way(
        name="not well-formed",
        how="xml_not_well_formed",
        cause="malformed",
        told="xml-not-well-formed",
    ),
]
CLOSINGS = [
    Way(name="stream end", how="xmlstreamend", cause="stream_ended"),
    Way(name="closed", how="close", cause="network", told="socket_closed"),
]
SILENCE = Way(name="silence", how="silence", cause="keepalive", told="keepalive")
FAILURES = [
    refused(0),
    replace(refused(400, "faulty"), wait=MINUTES),
    replace(refused(401, "unlinked"), after=After.UNLINKED),
    replace(refused(402, "temporary_ban"), wait=(BAN_S + 1, BAN_S + 1)),
    replace(refused(403, "locked"), after=After.LOCKED, wait=None),
    replace(refused(405, "outdated"), wait=AT_ONCE),
    held(refused(406, "banned")),
    held(refused(409, "refused")),
    refused(411),
    refused(412),
    refused(413),
    refused(414),
    held(refused(415, "refused")),
    held(refused(418, "refused")),
    replace(refused(429, "rate_limited"), wait=RATE_LIMITED),
    refused(500, "server_unavailable"),
    replace(refused(501, "faulty"), wait=MINUTES),
    refused(503, "server_unavailable"),
    refused(999),
]
"""402 without its time is for `test_connection`; here it lasts for BAN_S,
and the rest of its last second is waited out too."""
UNPAIRED_FAILURES = [way for way in FAILURES if way.code != 402]


def dial(weather: Weather, cause: str, told: str) -> Way:
    return Way(name=weather.value, weather=weather, cause=cause, told=told)


DIALS = [
    dial(Weather.DOWN, "unreachable", "unreachable"),
    dial(Weather.DNS_BROKEN, "dns", "dns"),
    dial(Weather.REFUSING, "unreachable", "refused"),
    dial(Weather.TLS_BROKEN, "tls", "tls"),
    dial(Weather.PROXY_REFUSING, "proxy", "proxy"),
    dial(Weather.HTTP_REDIRECTED, "unreachable", "intercepted"),
    dial(Weather.HTTP_FORBIDDEN, "server_unavailable", "http_refused"),
    replace(dial(Weather.HTTP_RATE_LIMITED, "rate_limited", "http_refused"), wait=RATE_LIMITED),
    dial(Weather.HTTP_UNAVAILABLE, "server_unavailable", "http_refused"),
    dial(Weather.STALLING_CONNECT, "unreachable", "connect_timeout"),
]
HANDSHAKES = [
    dial(Weather.STALLING_HANDSHAKE, "handshake_timeout", "handshake_timeout"),
    dial(Weather.CLOSING_HANDSHAKE, "network", "socket_closed"),
    replace(dial(Weather.GARBLING_HANDSHAKE, "untrusted_server", "handshake_failed"), wait=MINUTES),
    replace(dial(Weather.IMPOSTOR, "untrusted_server", "certificate"), wait=MINUTES),
]
SOCKETS = [
    Way(name="reset", cause="network", told="socket_closed"),
    Way(name="half-open", cause="keepalive", told="keepalive"),
    Way(name="stuck", cause="half_open", told="half_open"),
]
NOBODY_SCANS = Way(name="nobody scans", cause="pairing_expired", told="pairing_expired")
NOBODY_TYPES = replace(NOBODY_SCANS, name="nobody types")
STEP_UNANSWERED = Way(name="step unanswered", cause="keepalive", told="keepalive")

PHASES: Sequence[tuple[type[Phase], Sequence[Way]]] = [
    (phases.Connecting, [*DIALS, *HANDSHAKES]),
    (phases.Pairing, [*UNPAIRED_FAILURES, *STREAM_ERRORS, *CLOSINGS, SILENCE, NOBODY_SCANS]),
    (phases.CodeShown, [*UNPAIRED_FAILURES, *STREAM_ERRORS, *CLOSINGS, SILENCE, NOBODY_TYPES]),
    (phases.CodeTyped, [*UNPAIRED_FAILURES, *STREAM_ERRORS, *CLOSINGS, SILENCE]),
    (phases.CodeHalfWay, [*UNPAIRED_FAILURES, *STREAM_ERRORS, *CLOSINGS, SILENCE, NOBODY_TYPES]),
    (phases.Linked, [*STREAM_ERRORS, *CLOSINGS, SILENCE]),
    (phases.LinkedByCode, [*STREAM_ERRORS, *CLOSINGS, SILENCE]),
    (phases.LoggingIn, [*FAILURES, *STREAM_ERRORS, *CLOSINGS, SILENCE, STEP_UNANSWERED]),
    (phases.OfflineDelivery, [*STREAM_ERRORS, *CLOSINGS, SILENCE]),
    (phases.Open, [*STREAM_ERRORS, *CLOSINGS, SILENCE, *SOCKETS]),
    (phases.Draining, [*STREAM_ERRORS, *CLOSINGS, SILENCE]),
    (phases.Restarting, [*STREAM_ERRORS, *CLOSINGS, SILENCE]),
]


@pytest.fixture(autouse=True)
def codes_are_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pairing codes without the rounds against guessing: hundreds are typed here."""
    for side in ("engine", "sim"):
        monkeypatch.setattr(f"perene.{side}.pairing_code._ROUNDS", 2)


@pytest.mark.requirement("C5", "D1", "D2", "D3", "D5", "D9", "E6", "F10")
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("kind", "ways"), PHASES, ids=[kind.__name__ for kind, _ in PHASES])
async def test_every_way_to_end_has_one_cause_one_reaction_and_loses_nothing(
    kind: type[Phase],
    ways: Sequence[Way],
    tmp_path: Path,
    template: Path,
    subtests: pytest.Subtests,
) -> None:
    async with World.open(
        tmp_path,
        template,
        settings=Settings(initial_sync=False),
        versions=OneVersion(),
        first_pre_keys=20,
    ) as world:
        phase = kind(world, ways)
        seen = await phase.play()
    for way in ways:
        with subtests.test(way.name):
            judge(phase, way, seen[way])


def judge(phase: Phase, way: Way, seen: Seen) -> None:
    """Compare what was seen with what must follow."""
    assert seen.most_at_once == 1, "one connection at a time"
    assert seen.at_last is State.OPEN
    assert seen.unanswered == 0
    assert list(seen.texts) in expected_texts(phase, way)
    if isinstance(phase, phases.Draining):
        judge_drained(phase, seen)
        return
    if isinstance(phase, phases.Linked) and way.cause == "restart_required":
        assert EventType.SESSION_DISCONNECTED not in seen.told, "every pairing ends so"
        assert EventType.SESSION_ERROR_515 not in seen.told
    else:
        assert (seen.ended["cause"], seen.ended["code"]) == (way.cause, way.evidence)
        judge_wait(way, seen.ended["retry_in_s"])
    judge_state(phase, way, seen)
    judge_outages(phase, way, seen)


def expected_texts(phase: Phase, way: Way) -> list[list[str]]:
    """Return what may have been received: all of it once, in order.

    A device that was unlinked gets nothing any more of what its successor is not sent; the message
    that came just before its end may have been stored.
    """
    meanwhile = [phase.meanwhile]
    if way.after in (After.UNLINKED, After.LOCKED) and not isinstance(phase, phases.Draining):
        meanwhile = [()]
        if isinstance(phase, phases.OfflineDelivery):
            meanwhile = [(), phase.meanwhile[:1]]
    return [[*phase.before, *texts, *phase.afterwards] for texts in meanwhile]


def judge_wait(way: Way, wait: object) -> None:
    if way.wait is None:
        assert wait is None
        return
    least, most = way.wait
    assert isinstance(wait, int | float)
    assert least - 1e-6 <= wait <= most + 1e-6


def judge_state(phase: Phase, way: Way, seen: Seen) -> None:
    """What became of the session before a person did anything."""
    attention = EventType.SESSION_NEEDS_ATTENTION in seen.told
    pairing = EventType.SESSION_NEEDS_PAIRING in seen.told
    linked = not isinstance(phase, phases.Pairing)
    match way.after:
        case After.BACK:
            assert seen.then is (State.OPEN if linked else State.PAIRING)
            assert seen.is_linked is linked
            assert not attention
            assert not pairing
        case After.HELD:
            assert seen.then is State.NEEDS_ATTENTION
            assert seen.is_linked is linked
            assert attention
            assert not pairing
        case After.UNLINKED:
            assert seen.then is State.PAIRING
            assert seen.offers_code
            assert not seen.is_linked
            assert pairing
        case After.LOCKED:
            assert seen.then is State.NEEDS_ATTENTION
            assert not seen.is_linked
            assert attention


def judge_outages(phase: Phase, way: Way, seen: Seen) -> None:
    """An outage of a linked session is a row; it ends."""
    if isinstance(phase, phases.Pairing) or (
        isinstance(phase, phases.Linked) and way.cause == "restart_required"
    ):
        assert seen.outages == []  # nothing was up yet; the event says it all
        return
    (outage,) = seen.outages
    assert (outage.cause.value, outage.code) == (way.cause, way.evidence)
    began = outage.losses[0]
    assert (began.cause, began.code, began.attributes) == (
        outage.cause,
        outage.code,
        outage.attributes,
    )
    gone = way.after in (After.UNLINKED, After.LOCKED)
    assert outage.end is (OutageEnd.LOGGED_OUT if gone else OutageEnd.RECOVERED)
    assert gone or outage.attempts >= 1


def judge_drained(phase: phases.Draining, seen: Seen) -> None:
    """Who drains goes where it was to go, whatever the server says to that; it is no outage."""
    restarts = isinstance(phase, phases.Restarting)
    assert seen.then is (State.OPEN if restarts else State.STOPPED)
    assert (EventType.SESSION_CONNECTED in seen.told) is restarts
    assert (EventType.SESSION_STOPPED in seen.told) is not restarts
    assert seen.is_linked
    assert seen.outages == []
