"""What makes an alert fire and resolve, look by look, and what never happens whatever comes."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perene.core.alert_looks import (
    RESTORED_GRACE_S,
    Firing,
    Restored,
    States,
    conditions,
    evaluate,
    restored,
)
from perene.core.alerts import SERVICE, Alert, Key, Rule, Scope, Severity, Signals
from perene.core.clock import Instant

START = datetime(2026, 9, 1, 12, tzinfo=UTC)


def rule(
    name: str = "hot",
    *,
    above: float | None = 10,
    below: float | None = None,
    for_s: float = 60,
    resolve_after_s: float = 30,
    scope: Scope = Scope.SESSION,
    signal: str = "heat",
    severity: Severity = Severity.WARNING,
    held_back_by: tuple[str, ...] = (),
) -> Rule:
    return Rule(
        name=name,
        scope=scope,
        signal=signal,
        above=above,
        below=below,
        for_s=for_s,
        resolve_after_s=resolve_after_s,
        severity=severity,
        sentence="It is {value:.0f} hot.",
        remedy="Cool it.",
        held_back_by=held_back_by,
    )


class Looks:
    """A row of looks at one set of rules; `at` is in seconds from the start.

    `jumped_s` is how far the wall clock was set ahead of the monotonic one.
    """

    def __init__(self, *rules: Rule, states: States | None = None) -> None:
        self.rules: Sequence[Rule] = rules or (rule(),)
        self.states: States = states or {}
        self.jumped_s = 0

    def at(self, second: float, **heat: float) -> tuple[Alert, ...]:
        return self.look(second, {subject: {"heat": value} for subject, value in heat.items()})

    def look(self, second: float, signals: Signals) -> tuple[Alert, ...]:
        now = Instant(wall=when(second + self.jumped_s), monotonic=second)
        self.states, changes = evaluate(self.rules, self.states, signals, now)
        return changes


def when(second: float) -> datetime:
    return START + timedelta(seconds=second)


# --- from good to firing --------------------------------------------------------------------------


def test_a_good_number_leaves_nothing_behind() -> None:
    looks = Looks()
    assert looks.at(0, one=10) == ()
    assert looks.states == {}


def test_a_bad_number_fires_once_it_has_been_bad_for_long_enough() -> None:
    looks = Looks()
    assert looks.at(0, one=11) == ()
    assert looks.at(59, one=12) == ()
    (fired,) = looks.at(60, one=13)
    assert (fired.rule, fired.subject, fired.severity) == ("hot", "one", Severity.WARNING)
    assert (fired.began_at, fired.fired_at, fired.resolved_at) == (when(0), when(60), None)
    assert (fired.sentence, fired.value, fired.notified) == ("It is 13 hot.", 13, ())


def test_a_rule_that_waits_for_nothing_fires_at_once() -> None:
    (fired,) = Looks(rule(for_s=0)).at(0, one=11)
    assert fired.fired_at == fired.began_at == when(0)


def test_a_good_number_in_between_starts_the_wait_anew() -> None:
    looks = Looks()
    looks.at(0, one=11)
    looks.at(50, one=10)
    assert looks.at(60, one=11) == ()
    assert looks.at(119, one=11) == ()
    assert len(looks.at(120, one=11)) == 1


def test_a_number_below_its_threshold_fires_too() -> None:
    looks = Looks(rule(above=None, below=5, for_s=0))
    assert looks.at(0, one=5) == ()
    assert len(looks.at(10, one=4)) == 1


def test_a_subject_that_vanishes_while_pending_is_forgotten() -> None:
    looks = Looks()
    looks.at(0, one=11)
    assert looks.at(30) == ()
    assert looks.states == {}


def test_a_number_that_is_not_known_is_not_bad() -> None:
    looks = Looks()
    looks.at(0, one=11)
    assert looks.look(60, {"one": {}}) == ()
    assert looks.look(70, {"one": {"heat": float("nan")}}) == ()
    assert looks.states == {}


# --- while firing ---------------------------------------------------------------------------------


def test_an_open_alert_is_not_told_again_as_long_as_it_lasts() -> None:
    looks = Looks(rule(for_s=0))
    assert len(looks.at(0, one=11)) == 1
    assert [looks.at(second, one=11 + second) for second in range(10, 1000, 10)] == [()] * 99


def test_every_rule_and_subject_has_an_alert_of_its_own() -> None:
    looks = Looks(rule(for_s=0), rule("hotter", above=20, for_s=0))
    changes = looks.at(0, one=21, two=11)
    assert {(one.rule, one.subject) for one in changes} == {
        ("hot", "one"),
        ("hotter", "one"),
        ("hot", "two"),
    }
    assert len({one.id for one in changes}) == 3


def test_a_rule_watches_only_its_own_scope() -> None:
    looks = Looks(rule(for_s=0), rule("service", for_s=0, scope=Scope.SERVICE))
    changes = looks.look(0, {SERVICE: {"heat": 11}, "one": {"heat": 11}})
    assert {(one.rule, one.subject) for one in changes} == {("hot", "one"), ("service", SERVICE)}


# --- from firing to resolved ----------------------------------------------------------------------


def test_an_alert_resolves_once_the_number_has_been_good_for_long_enough() -> None:
    looks = Looks(rule(for_s=0))
    (fired,) = looks.at(0, one=11)
    assert looks.at(10, one=10) == ()
    assert looks.at(39, one=10) == ()
    (resolved,) = looks.at(40, one=10)
    assert resolved.resolved_at == when(40)
    assert (resolved.id, resolved.value) == (fired.id, fired.value)
    assert looks.states == {}
    assert looks.at(50, one=10) == ()


def test_a_number_that_is_bad_again_keeps_the_alert_open() -> None:
    looks = Looks(rule(for_s=0))
    looks.at(0, one=11)
    looks.at(10, one=10)
    assert looks.at(35, one=11) == ()
    assert looks.at(41, one=10) == ()
    assert looks.at(70, one=10) == ()
    assert len(looks.at(71, one=10)) == 1


def test_a_number_that_is_not_known_any_more_resolves_nothing() -> None:
    looks = Looks(rule(for_s=0))
    looks.at(0, one=11)
    assert looks.at(10, one=10) == ()
    assert looks.look(40, {"one": {}}) == ()
    assert looks.look(4000, {"one": {}}) == ()
    assert looks.at(4010, one=10) == ()
    (resolved,) = looks.at(4040, one=10)
    assert resolved.resolved_at == when(4040)


def test_a_subject_that_vanished_resolves_at_once() -> None:
    looks = Looks(rule(for_s=0))
    looks.at(0, one=11, two=11)
    (resolved,) = looks.at(10, two=11)
    assert (resolved.subject, resolved.resolved_at) == ("one", when(10))


def test_a_rule_that_was_taken_away_resolves_its_alerts() -> None:
    looks = Looks(rule(for_s=0))
    looks.at(0, one=11)
    looks.rules = ()
    (resolved,) = looks.at(10, one=11)
    assert resolved.resolved_at == when(10)


def test_a_resolved_alert_can_fire_anew_as_another_one() -> None:
    looks = Looks(rule(for_s=0, resolve_after_s=0))
    (first,) = looks.at(0, one=11)
    looks.at(10, one=10)
    (second,) = looks.at(20, one=11)
    assert first.id != second.id


# --- rules that say more than others --------------------------------------------------------------

BOTH = {"one": {"heat": 11, "fire": 11}}
SMOKE = {"one": {"heat": 11, "fire": 0}}
GOOD = {"one": {"heat": 0, "fire": 0}}


def burning(
    *,
    for_s: float = 0,
    severity: Severity = Severity.WARNING,
    held_back_by: tuple[str, ...] = (),
) -> Rule:
    """Return the rule that says more."""
    return rule("burning", signal="fire", for_s=for_s, severity=severity, held_back_by=held_back_by)


def hot(*, for_s: float = 0, severity: Severity = Severity.WARNING) -> Rule:
    """Return the general rule."""
    return rule(for_s=for_s, severity=severity, held_back_by=("burning",))


def fired(changes: Sequence[Alert]) -> list[str]:
    return [one.rule for one in changes if one.resolved_at is None]


def test_a_general_rule_is_held_back_while_a_more_specific_one_tells() -> None:
    for rules in ((hot(), burning()), (burning(), hot())):
        looks = Looks(*rules)
        assert fired(looks.look(0, BOTH)) == ["burning"]
        assert looks.look(1000, BOTH) == ()


def test_it_takes_over_when_the_other_is_over_and_says_since_when() -> None:
    looks = Looks(hot(for_s=60), burning())
    looks.look(0, BOTH)
    assert looks.look(100, SMOKE) == ()
    over, taken = looks.look(130, SMOKE)
    assert (over.rule, over.resolved_at) == ("burning", when(130))
    assert (taken.rule, taken.began_at, taken.fired_at) == ("hot", when(0), when(130))


def test_it_is_not_told_when_both_are_over() -> None:
    looks = Looks(hot(), burning())
    looks.look(0, BOTH)
    looks.look(10, GOOD)
    (over,) = looks.look(40, GOOD)
    assert over.rule == "burning"
    assert looks.states == {}


def test_one_that_told_already_stays_open_until_its_own_end() -> None:
    looks = Looks(hot(), burning())
    assert fired(looks.look(0, SMOKE)) == ["hot"]
    assert fired(looks.look(10, BOTH)) == ["burning"]
    assert looks.look(20, BOTH) == ()
    looks.look(30, GOOD)
    assert {one.rule for one in looks.look(60, GOOD)} == {"hot", "burning"}


def test_a_specific_rule_that_has_yet_to_wait_lets_the_general_one_wait() -> None:
    looks = Looks(hot(), burning(for_s=120))
    assert looks.look(0, BOTH) == ()
    assert fired(looks.look(120, BOTH)) == ["burning"]
    looks = Looks(hot(), burning(for_s=120))
    assert looks.look(0, BOTH) == ()
    assert fired(looks.look(60, SMOKE)) == ["hot"]


def test_another_subject_is_another_matter() -> None:
    looks = Looks(hot(), burning())
    changes = looks.look(0, {"one": {"heat": 0, "fire": 11}, "two": {"heat": 11, "fire": 0}})
    assert {(one.rule, one.subject) for one in changes} == {("burning", "one"), ("hot", "two")}


def test_one_that_is_less_severe_holds_nothing_back() -> None:
    looks = Looks(hot(severity=Severity.CRITICAL), burning(severity=Severity.WARNING))
    assert set(fired(looks.look(0, BOTH))) == {"hot", "burning"}


def test_one_that_is_switched_off_holds_nothing_back() -> None:
    assert fired(Looks(hot()).look(0, BOTH)) == ["hot"]


def test_what_is_held_back_holds_back_what_is_more_general_still() -> None:
    warm = rule("warm", for_s=0, held_back_by=("hot",))
    looks = Looks(warm, hot(), burning())
    assert fired(looks.look(0, BOTH)) == ["burning"]
    looks.look(10, SMOKE)
    assert fired(looks.look(40, SMOKE)) == ["hot"]


def test_an_open_alert_of_an_earlier_run_holds_back_too() -> None:
    (told,) = Looks(burning()).look(0, BOTH)
    looks = Looks(hot(), burning(), states=restored([told], {}))
    assert looks.look(100, BOTH) == ()


def test_rules_that_hold_back_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match=r"hot and burning|burning and hot"):
        Looks(hot(), burning(held_back_by=("hot",))).look(0, BOTH)


# --- over a restart of the service ----------------------------------------------------------------


def after_a_restart() -> tuple[Looks, Alert]:
    (fired,) = Looks(rule(for_s=0)).at(0, one=11)
    return Looks(rule(for_s=0), states=restored([fired], {})), fired


def test_an_open_alert_of_an_earlier_run_does_not_fire_again() -> None:
    looks, _ = after_a_restart()
    assert looks.at(100, one=11) == ()


def test_an_open_alert_of_an_earlier_run_resolves_under_its_id() -> None:
    looks, fired = after_a_restart()
    looks.at(100, one=10)
    (resolved,) = looks.at(130, one=10)
    assert (resolved.id, resolved.resolved_at) == (fired.id, when(130))


def test_what_was_not_seen_for_a_while_after_a_restart_was_not_good_meanwhile() -> None:
    looks, _ = after_a_restart()
    assert looks.at(100) == ()
    assert looks.at(200, one=10) == ()
    (resolved,) = looks.at(230, one=10)
    assert resolved.resolved_at == when(230)


def test_an_alert_of_an_earlier_run_waits_for_sessions_that_are_not_read_yet() -> None:
    looks, _ = after_a_restart()
    assert looks.at(100) == ()
    assert looks.at(400) == ()
    assert looks.at(410, one=11) == ()


def test_an_alert_of_an_earlier_run_whose_subject_never_comes_resolves() -> None:
    looks, _ = after_a_restart()
    assert looks.at(100) == ()
    assert looks.at(99 + RESTORED_GRACE_S) == ()
    assert len(looks.at(100 + RESTORED_GRACE_S)) == 1


def test_an_alert_of_an_earlier_run_that_was_seen_once_waits_no_more() -> None:
    looks, _ = after_a_restart()
    looks.at(100, one=11)
    assert len(looks.at(110)) == 1


def restarted(looks: Looks) -> Looks:
    """Return the looks of the next run, of which no alert is open."""
    return Looks(*looks.rules, states=restored([], conditions(looks.states)))


def test_since_when_a_condition_holds_outlives_a_restart_though_its_wait_begins_anew() -> None:
    looks = Looks(rule(for_s=60))
    looks.at(0, one=11)
    looks = restarted(looks)
    assert looks.at(59, one=11) == ()
    assert looks.at(118, one=11) == (), "what is bad in a service that starts is not bad for long"
    (fired,) = looks.at(119, one=11)
    assert (fired.began_at, fired.fired_at) == (when(0), when(119))


def test_what_was_held_back_before_a_restart_takes_over_after_it_and_says_since_when() -> None:
    looks = Looks(hot(), burning())
    (told,) = looks.look(0, BOTH)
    looks = Looks(hot(), burning(), states=restored([told], conditions(looks.states)))
    assert looks.look(100, BOTH) == ()
    assert looks.look(200, SMOKE) == ()
    over, taken = looks.look(230, SMOKE)
    assert (over.rule, over.resolved_at) == ("burning", when(230))
    assert (taken.rule, taken.began_at, taken.fired_at) == ("hot", when(0), when(230))


def test_what_is_good_at_the_first_look_after_a_restart_has_begun_anew_when_it_is_bad_again() -> (
    None
):
    looks = Looks(rule(for_s=60))
    looks.at(0, one=11)
    looks = restarted(looks)
    looks.at(100, one=10)
    looks.at(200, one=11)
    (fired,) = looks.at(260, one=11)
    assert fired.began_at == when(200)


@pytest.mark.parametrize("unknown", [{}, {"one": {}}])
def test_a_condition_of_an_earlier_run_waits_for_what_is_not_known_yet(unknown: Signals) -> None:
    looks = Looks(rule(for_s=0))
    looks.states = restored([], {("hot", "one"): when(0)})
    assert looks.look(100, unknown) == ()
    looks = restarted(looks)
    assert looks.look(200, unknown) == ()
    assert looks.look(199 + RESTORED_GRACE_S, unknown) == ()
    (fired,) = looks.at(199 + RESTORED_GRACE_S, one=11)
    assert fired.began_at == when(0)


def test_a_condition_of_an_earlier_run_whose_subject_never_comes_is_forgotten() -> None:
    looks = Looks(states=restored([], {("hot", "one"): when(0)}))
    assert looks.at(100) == ()
    assert looks.at(100 + RESTORED_GRACE_S) == ()
    assert looks.states == {}


def test_a_condition_does_not_begin_after_it_is_told_though_the_clock_was_set_back() -> None:
    looks = Looks(rule(for_s=0), states=restored([], {("hot", "one"): when(3600)}))
    (fired,) = looks.at(100, one=11)
    assert fired.began_at == fired.fired_at == when(100)


# --- clocks that jump -----------------------------------------------------------------------------


@pytest.mark.parametrize("jump_s", [-3600, 3600])
def test_a_wall_clock_that_is_set_neither_hastens_nor_delays_anything(jump_s: int) -> None:
    looks = Looks()
    assert looks.at(0, one=11) == ()
    looks.jumped_s = jump_s
    assert looks.at(59, one=11) == ()
    (fired,) = looks.at(60, one=11)
    assert fired.began_at <= fired.fired_at == when(60 + jump_s)
    assert looks.at(70, one=10) == ()
    looks.jumped_s = 0
    assert looks.at(99, one=10) == ()
    (resolved,) = looks.at(100, one=10)
    assert resolved.resolved_at == max(when(100), fired.fired_at), "no alert ends before it fired"


@pytest.mark.parametrize("jump_s", [-3600, 3600])
def test_a_wall_clock_that_is_set_neither_hastens_nor_delays_the_wait_for_sessions(
    jump_s: int,
) -> None:
    looks, _ = after_a_restart()
    assert looks.at(100) == ()
    looks.jumped_s = jump_s
    assert looks.at(99 + RESTORED_GRACE_S) == ()
    assert len(looks.at(100 + RESTORED_GRACE_S)) == 1


# --- rules that cannot be -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("above", "below", "for_s", "resolve_after_s"),
    [(None, None, 0, 0), (1, 2, 0, 0), (1, None, -1, 0), (1, None, 0, -1), (1, None, 1e300, 0)],
)
def test_a_rule_that_means_nothing_cannot_be_made(
    above: float | None, below: float | None, for_s: float, resolve_after_s: float
) -> None:
    with pytest.raises(ValueError, match=r"above|from 0"):
        rule(above=above, below=below, for_s=for_s, resolve_after_s=resolve_after_s)


# --- whatever comes -------------------------------------------------------------------------------

RULES = (
    rule("slow", for_s=60, resolve_after_s=30),
    rule("quick", for_s=0, resolve_after_s=0),
    rule("low", above=None, below=3, for_s=20, resolve_after_s=20),
    rule("general", above=-1, for_s=5, held_back_by=("slow", "low")),
    rule("service", for_s=10, scope=Scope.SERVICE),
)

Row = list[tuple[int, int, dict[str, dict[str, float]], bool]]

steps = st.lists(
    st.tuples(
        st.integers(0, 3600),  # seconds since the look before
        st.integers(-3600, 3600),  # by which the wall clock was set meanwhile
        st.dictionaries(
            st.sampled_from([SERVICE, "one", "two"]),
            st.dictionaries(st.just("heat"), st.sampled_from([0.0, 5.0, 11.0, float("nan")])),
        ),
        st.booleans(),  # whether the service is started anew before this look
    ),
    max_size=30,
)

END = 3600 * 40
"""A second after all steps."""


def open_alerts(looks: Looks) -> dict[Key, Alert]:
    found: dict[Key, Alert] = {}
    for key, state in looks.states.items():
        match state:
            case Firing(alert=alert) | Restored(left=Alert() as alert):
                found[key] = alert
            case _:
                pass
    return found


def played(row: Row) -> tuple[Looks, list[Alert]]:
    """Play a row of looks; assert on the way that no key ever has two open alerts.

    Nor does a general rule ever fire beside a more specific one.
    """
    looks, told = Looks(*RULES), list[Alert]()
    open_now: dict[tuple[str, str], str] = {}
    second = 0
    for passed, jump_s, signals, restart in row:
        second += passed
        looks.jumped_s += jump_s
        if restart:
            looks.states = restored(open_alerts(looks).values(), conditions(looks.states))
        for change in looks.look(second, signals):
            key = change.rule, change.subject
            if change.resolved_at is None:
                assert key not in open_now
                if change.rule == "general":
                    assert not {("slow", change.subject), ("low", change.subject)} & {*looks.states}
                open_now[key] = change.id
            else:
                assert open_now.pop(key) == change.id
                assert change.began_at <= change.fired_at <= change.resolved_at
            told.append(change)
        assert {key: alert.id for key, alert in open_alerts(looks).items()} == open_now
    return looks, told


@given(steps)
def test_no_rule_and_subject_ever_has_two_open_alerts(row: Row) -> None:
    played(row)


@given(steps)
def test_every_alert_resolves_once_the_numbers_are_good(row: Row) -> None:
    looks, told = played(row)
    good: Signals = {subject: {"heat": 5.0} for subject in (SERVICE, "one", "two")}
    looks.rules = [one for one in RULES if one.name != "general"]  # to which no number is good
    told += looks.look(END, good)
    told += looks.look(END + 30, good)
    fired = {one.id for one in told if one.resolved_at is None}
    assert fired == {one.id for one in told if one.resolved_at is not None}
    assert looks.states == {}


@given(steps)
def test_a_second_look_at_the_same_moment_changes_nothing(row: Row) -> None:
    looks, _ = played(row)
    signals: Signals = {"one": {"heat": 11.0}, "two": {"heat": 5.0}}
    looks.look(END, signals)
    before = looks.states
    assert looks.look(END, signals) == ()
    assert looks.states == before
