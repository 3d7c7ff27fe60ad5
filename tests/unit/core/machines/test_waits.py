"""How long a session waits: by what has befallen it of the same kind, not by all that has."""

from datetime import timedelta

import pytest

from perene.core.causes import Ending, Local, classify
from perene.core.machines.effects import Acquire, Connect, Disconnected, OutageOver
from perene.core.machines.inputs import Due, Relieved, Start
from perene.core.machines.state import Waiting
from perene.core.outages import OutageEnd
from perene.core.policy import POLICIES, STABLE_AFTER, Count, Relief
from tests.support.endings import LOST, failure, local, stream_error
from tests.unit.core.machines.life import Life

LONGEST_OF_THE_NETWORK = timedelta(minutes=15 * 1.1)
NOTICED_HERE = [
    local(code)
    for code in Local
    if code
    not in {
        Local.STALE_EPOCH,
        Local.PASSKEY,
        Local.UNREADABLE_STATE,
        Local.RESTARTED,
        Local.STOPPED,
        Local.LOGGED_OUT,
        Local.SERVICE_ENDED,
    }
]
TOLD_BY_WHATSAPP = [
    *map(failure, ("400", "429", "500", "501", "503", "999")),
    *map(stream_error, ("429", "500", "503", "999", "ack", "xml-not-well-formed")),
]


def wait_after(life: Life, ending: Ending) -> timedelta:
    """End the connection so, and return how long the session waits for the next one."""
    life.done.clear()
    life.lost(ending)
    (told,) = life.told(Disconnected)
    assert told.decided.wait is not None
    return told.decided.wait


@pytest.mark.requirement("C5")
@pytest.mark.parametrize(
    "ending", [*NOTICED_HERE, *TOLD_BY_WHATSAPP], ids=lambda ending: f"{ending.kind}-{ending.code}"
)
def test_a_first_failure_of_another_kind_waits_no_longer_for_an_outage_of_the_network(
    ending: Ending,
) -> None:
    life = Life(Start(by_person=False))
    life.granted()
    life.fails(LOST, times=12)
    assert wait_after(life, ending) <= LONGEST_OF_THE_NETWORK


@pytest.mark.requirement("C5", "D6")
def test_what_befell_a_session_before_it_showed_codes_is_not_counted_on() -> None:
    life = Life(Start(by_person=False), paired=False)
    life.granted()
    waits: list[timedelta] = []
    for ending in (LOST, LOST, LOST, local(Local.PAIRING_EXPIRED), LOST):
        waits.append(wait_after(life, ending))
        life.comes_due()
        life.granted()
    assert [wait.total_seconds() for wait in waits] == [1, 1, 2, 1, 1]


def test_codes_that_nobody_scans_come_ever_more_seldom_whatever_befalls_between() -> None:
    life = Life(Start(by_person=False), paired=False)
    life.granted()
    waits: list[timedelta] = []
    for _ in range(6):
        wait_after(life, LOST)
        life.comes_due()
        life.granted()
        waits.append(wait_after(life, local(Local.PAIRING_EXPIRED)))
        life.comes_due()
        life.granted()
    assert [wait.total_seconds() for wait in waits] == [1, 1, 2, 3, 5, 8]


@pytest.mark.parametrize(("code", "minutes"), [(Local.SOCKET_CLOSED, 30), (Local.CERTIFICATE, 120)])
def test_after_its_limit_no_cause_is_tried_faster_than_before(code: Local, minutes: int) -> None:
    life = Life(Start(by_person=False))
    life.granted()
    waits: list[timedelta] = []
    for _ in range(32):
        waits.append(wait_after(life, local(code)))
        life.comes_due()
        life.granted()
    assert waits == sorted(waits)
    assert waits[-1] == timedelta(minutes=minutes)


@pytest.mark.requirement("C3", "C5")
@pytest.mark.parametrize("relief", Relief)
@pytest.mark.parametrize(
    "ending", [*NOTICED_HERE, *TOLD_BY_WHATSAPP], ids=lambda ending: f"{ending.kind}-{ending.code}"
)
def test_a_wait_ends_early_by_what_may_have_put_its_cause_right_and_by_nothing_else(
    ending: Ending, relief: Relief
) -> None:
    life = Life(Start(by_person=False))
    life.granted()
    life.fails(ending, times=3)
    wait_after(life, ending)
    before = life.state
    followed = life.give(Relieved(by=relief))
    if relief not in POLICIES[classify(ending)].relief:
        assert (followed, life.state) == ((), before)
        return
    assert [type(effect) for effect in followed] == [Acquire]
    (connect,) = [effect for effect in life.granted() if isinstance(effect, Connect)]
    assert connect.attempt == 4, "it counts as the one that was due later"


@pytest.mark.requirement("C5", "F10")
def test_what_whatsapp_itself_told_to_wait_for_is_waited_for() -> None:
    """Nobody's network has anything to do with a ban, a limit, or a restart of the stream."""
    relieved = {cause.value for cause, policy in POLICIES.items() if policy.relief}
    assert relieved == {
        "network",
        "dns",
        "unreachable",
        "tls",
        "proxy",
        "handshake_timeout",
        "keepalive",
        "half_open",
        "clock_jump",
        "server_unavailable",
        "untrusted_server",
    }


@pytest.mark.requirement("D6")
@pytest.mark.parametrize("given", [Due(), *(Relieved(by=relief) for relief in Relief)])
def test_a_connection_is_not_stable_before_its_time_whatever_is_heard_meanwhile(
    given: Due | Relieved,
) -> None:
    life = Life(Start(by_person=False))
    life.opened()
    assert wait_after(life, LOST) == timedelta(seconds=1)
    life.comes_due()
    life.opened()
    life.live(STABLE_AFTER - timedelta(seconds=1))
    assert life.give(given) == ()
    assert life.told(OutageOver) == []
    wait_after(life, LOST)
    assert life.state.standing.counted(Count.NETWORK) == 2


@pytest.mark.requirement("D6")
def test_a_connection_that_ends_when_its_time_has_just_come_was_stable() -> None:
    """Nobody had looked at the clock yet."""
    life = Life(Start(by_person=False))
    life.opened()
    life.lost(LOST)
    life.comes_due()
    life.opened()
    life.done.clear()
    life.passed += STABLE_AFTER
    life.lost(LOST)
    assert [type(effect) for _, effect in life.done] == [OutageOver, Disconnected]
    assert life.told(OutageOver)[0].outage.end is OutageEnd.RECOVERED
    assert life.state.standing.counted(Count.NETWORK) == 1


def test_a_wait_is_waited_out_though_somebody_looks_before() -> None:
    life = Life(Start(by_person=False))
    life.granted()
    life.fails(LOST, times=4)
    wait_after(life, LOST)
    assert life.give(Due()) == ()
    assert isinstance(life.state.connection, Waiting)


def test_one_that_was_never_linked_has_no_outage() -> None:
    """Nothing was up yet: people are shown that it waits, and told of nothing that is over."""
    life = Life(Start(by_person=False), paired=False)
    life.granted()
    wait_after(life, LOST)
    assert life.state.standing.outage is None
    (told,) = life.told(Disconnected)
    assert told.outage is None


@pytest.mark.requirement("C4", "E6")
def test_a_wait_for_the_network_does_not_outlive_a_restart_of_the_service() -> None:
    life = Life(Start(by_person=False))
    life.granted()
    life.fails(LOST, times=8)
    wait_after(life, LOST)
    life.begins_again()
    assert isinstance(life.granted()[-1], Connect)
