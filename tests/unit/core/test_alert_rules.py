"""Every rule that is shipped fires on a number that is bad, and resolves on one that is good."""

from datetime import UTC, datetime, timedelta

import pytest

from perene.core.alert_looks import evaluate
from perene.core.alert_overrides import WrongAlertRules, rules_with
from perene.core.alert_rules import SHIPPED
from perene.core.alert_signals import SIGNALS
from perene.core.alerts import SERVICE, Rule, Scope, Severity, ranked
from perene.core.clock import Instant

START = datetime(2026, 9, 1, 12, tzinfo=UTC)
GIB = 1024.0**3

ROWS: dict[str, tuple[float, float, str]] = {
    # a number that fires it, one that resolves it, a part of the sentence
    "session_down": (301, 0, "5 minutes"),
    "session_down_long": (7200, 0, "120 minutes"),
    "session_needs_attention": (1, 0, "a person acts"),
    "session_banned": (1, 0, "banned"),
    "session_locked": (1, 0, "locked"),
    "session_replaced": (1, 0, "elsewhere"),
    "session_needs_pairing": (1, 0, "no longer linked"),
    "session_outdated": (1, 0, "client version"),
    "session_deaf": (3, 2, "3 times"),
    "session_flapping": (180, 12, "180 times"),
    "session_restarts": (4, 0, "4 times in a row"),
    "session_attempts": (0.8, 0.7, "80 %"),
    "session_heartbeat": (121, 15, "121 seconds"),
    "session_phone_absent": (12, 0, "12 days"),
    "session_limited": (1, 0, "463"),
    "session_linked_twice": (1, 0, "other sessions, too (1)"),
    "database_failing": (1, 0, "cannot be written"),
    "database_taken": (1, 0, "Another service took the database"),
    "retention_failing": (1, 0, "database grows"),
    "many_sessions_down": (21, 20, "21 sessions"),
    "most_sessions_down": (0.75, 0.5, "75 %"),
    "task_failures": (1, 0, "1 times"),
    "clock_jump": (3600, 0.2, "3600 seconds"),
    "clock_off": (61.0, 60.0, "61 seconds"),
    "disk_low": (1.5 * GIB, 2 * GIB, "1.5 GiB"),
    "disk_full": (0.125 * GIB, GIB, "0.12 GiB"),
    "inodes_low": (0.96, 0.5, "96 %"),
    "inodes_full": (0.995, 0.97, "99.5 %"),
    "database_disk_low": (1.5 * GIB, 2 * GIB, "1.5 GiB are left where the database is"),
    "database_disk_full": (0.125 * GIB, GIB, "0.12 GiB are left where the database is"),
    "database_inodes_low": (0.96, 0.5, "96 % of the inodes are used where the database is"),
    "database_inodes_full": (0.995, 0.97, "99.5 % of the inodes are used where the database is"),
    "event_loop_late": (7, 0.1, "7 seconds"),
    "open_files": (0.95, 0.5, "95 %"),
    "log_lines_lost": (12, 0, "12 lines"),
    "key_missing": (1, 0, "master key"),
    "version_expires": (6.7, 0, "in 7 days"),
}


def test_every_shipped_rule_has_its_row_here() -> None:
    assert list(ROWS) == [rule.name for rule in SHIPPED]


def _at(second: float) -> Instant:
    return Instant(wall=START + timedelta(seconds=second), monotonic=second)


@pytest.mark.parametrize("rule", SHIPPED, ids=lambda rule: rule.name)
def test_a_shipped_rule_fires_and_resolves(rule: Rule) -> None:
    bad, good, words = ROWS[rule.name]
    subject = SERVICE if rule.scope is Scope.SERVICE else "shop"
    second, told = 0.0, list[tuple[str, bool]]()
    states, changes = evaluate([rule], {}, {subject: {rule.signal: good}}, _at(second))
    assert changes == ()
    for value, wait_s in ((bad, rule.for_s), (good, rule.resolve_after_s)):
        for pause in (0.0, wait_s):
            second += pause
            signals = {subject: {rule.signal: value}}
            states, changes = evaluate([rule], states, signals, _at(second))
            told += [(change.sentence, change.resolved_at is None) for change in changes]
    assert [fired for _, fired in told] == [True, False]
    assert words in told[0][0]
    assert states == {}


@pytest.mark.parametrize("rule", SHIPPED, ids=lambda rule: rule.name)
def test_a_shipped_rule_watches_a_signal_that_exists_and_says_what_to_do(rule: Rule) -> None:
    assert rule.signal in SIGNALS[rule.scope]
    assert rule.remedy.endswith(".")
    assert rule.sentence.endswith(".")


def test_every_signal_is_watched_by_a_shipped_rule() -> None:
    watched = {(rule.scope, rule.signal) for rule in SHIPPED}
    assert watched == {(scope, name) for scope, names in SIGNALS.items() for name in names}


def test_a_shipped_rule_is_held_back_by_rules_of_its_scope_that_exist() -> None:
    scopes = {rule.name: rule.scope for rule in SHIPPED}
    for rule in SHIPPED:
        assert {scopes[name] for name in rule.held_back_by} <= {rule.scope}
    assert ranked(SHIPPED)


def test_whatever_holds_back_a_rule_holds_back_what_is_more_general_still() -> None:
    by = {rule.name: set(rule.held_back_by) for rule in SHIPPED}
    for rule in SHIPPED:
        for name in rule.held_back_by:
            assert by[name] <= by[rule.name], (rule.name, name)


def test_an_outage_of_the_database_is_told_by_one_alert() -> None:
    failing = [rule for rule in SHIPPED if rule.signal.endswith("_failing")]
    states, fired = evaluate(failing, {}, {SERVICE: {}}, _at(0))
    # What is removed is missed at once, the database itself at the next look at it, and both are
    # well again in this order.
    for second in range(0, 400, 5):
        numbers = {
            "retention_failing": float(20 <= second < 315),
            "database_failing": float(35 <= second < 300),
        }
        states, changes = evaluate(failing, states, {SERVICE: numbers}, _at(second))
        fired += changes
    assert {change.rule for change in fired} == {"database_failing"}
    assert states == {}


def one(text: str, name: str) -> Rule:
    return next(rule for rule in rules_with(text) if rule.name == name)


def test_without_a_word_the_shipped_rules_hold() -> None:
    assert rules_with("") == SHIPPED


def test_a_shipped_rule_takes_what_is_given_and_keeps_the_rest() -> None:
    before = one("", "session_down")
    after = one('[rules.session_down]\nabove = 600\nseverity = "critical"\n', "session_down")
    assert (after.above, after.severity) == (600, Severity.CRITICAL)
    assert (after.for_s, after.sentence, after.remedy) == (
        before.for_s,
        before.sentence,
        before.remedy,
    )


def test_a_threshold_can_be_turned_round() -> None:
    after = one("[rules.session_deaf]\nbelow = 1\nfor_s = 5\n", "session_deaf")
    assert (after.above, after.below, after.for_s) == (None, 1, 5)


def test_a_rule_can_be_held_back_by_others_or_by_none() -> None:
    assert one("[rules.session_down]\nheld_back_by = []\n", "session_down").held_back_by == ()
    after = one('[rules.session_deaf]\nheld_back_by = ["session_flapping"]\n', "session_deaf")
    assert after.held_back_by == ("session_flapping",)
    kept = one("[rules.session_banned]\nenabled = false\n", "session_down").held_back_by
    assert "session_banned" in kept, "one that is switched off holds nothing back"


def test_a_shipped_rule_can_be_switched_off() -> None:
    names = [rule.name for rule in rules_with("[rules.session_limited]\nenabled = false\n")]
    assert names == [rule.name for rule in SHIPPED if rule.name != "session_limited"]


def test_a_rule_can_be_added() -> None:
    added = rules_with(
        "[rules.slow]\n"
        'scope = "session"\nsignal = "reconnects_last_hour"\nabove = 5\nseverity = "info"\n'
        'sentence = "{value:.0f} reconnections."\nremedy = "Check the network."\n'
    )[-1]
    assert added == Rule(
        name="slow",
        scope=Scope.SESSION,
        signal="reconnects_last_hour",
        above=5,
        for_s=0,
        resolve_after_s=60,
        severity=Severity.INFO,
        sentence="{value:.0f} reconnections.",
        remedy="Check the network.",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules = [", "no TOML"),
        (f"x = {'9' * 5000}", "no TOML"),
        ("rules = 1", "no table"),
        ("[rules]\nsession_down = 1", "no table"),
        ("[session_down]\nabove = 1", '"session_down"'),
        ("[rules.session_down]\nthreshold = 1", '"threshold" is unknown'),
        ("[rules.session_down]\nabove = true", "above must be a number"),
        ("[rules.session_down]\nabove = nan", "above must be a number"),
        (f"[rules.session_down]\nabove = 1{'0' * 400}", "session_down"),
        ('[rules.session_down]\nfor_s = "1 h"', "for_s must be a number"),
        ("[rules.session_down]\nfor_s = -1", "from 0"),
        ("[rules.session_down]\nabove = 1\nbelow = 2", "exactly one"),
        ('[rules.session_down]\nheld_back_by = "session_banned"', "must be a list of texts"),
        ("[rules.session_down]\nheld_back_by = [1]", "must be a list of texts"),
        ('[rules.session_down]\nheld_back_by = ["sesion_banned"]', '"sesion_banned", which is no'),
        (
            '[rules.session_down]\nheld_back_by = ["disk_low"]',
            '"disk_low", which is about the serv',
        ),
        ('[rules.session_banned]\nheld_back_by = ["session_down"]', "hold back each other"),
        ('[rules.session_deaf]\nheld_back_by = ["session_deaf"]', "hold back each other"),
        ('[rules.session_down]\nseverity = "loud"', "info, warning, critical"),
        ("[rules.session_down]\nsentence = 5", "sentence must be a text"),
        ('[rules.session_down]\nsentence = "{name}"', "sentence"),
        ('[rules.session_down]\nsentence = "{value.x}"', "sentence"),
        ('[rules.session_down]\nsentence = "{value:d}"', "session_down"),
        ('[rules.session_down]\nsentence = "{"', "session_down"),
        ('[rules.session_down]\nsentence = "{value[0]}"', "sentence"),
        ('[rules.session_down]\nsentence = "{value:{minutes}}"', "a field within a field"),
        ("[rules.sesion_down]\nenabled = false", "sesion_down: no rule of this name is shipped"),
        ('[rules.session_down]\nenabled = "no"', "true or false"),
        ('[rules.session_down]\nsignal = "x"', "down_s"),
        ('[rules.session_down]\nscope = "service"', "sessions_down"),
        ("[rules.new]\nabove = 1", "a new one needs scope"),
        ("[rules." + "n" * 65 + "]\nabove = 1", "1 to 64"),
    ],
)
def test_a_wrong_word_is_refused_with_a_sentence_that_names_it(text: str, said: str) -> None:
    with pytest.raises(WrongAlertRules) as refused:
        rules_with(text)
    assert said in str(refused.value)
