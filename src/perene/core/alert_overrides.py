"""The user's own word on alert rules, as the text of a TOML file.

[rules.session_down]      # a shipped rule: what is given replaces what it says
above = 600
severity = "critical"

[rules.session_limited]
enabled = false

[rules.session_slow]      # a new one
scope = "session"
signal = "reconnects_last_hour"
above = 5
severity = "info"
sentence = "{value:.0f} reconnections in an hour."
remedy = "Check the network."
held_back_by = ["session_flapping"]
"""

import math
import tomllib
from collections.abc import Mapping, Sequence
from typing import TypeVar, cast

from perene.core.alert_rules import SHIPPED
from perene.core.alert_signals import SIGNALS
from perene.core.alerts import Rule, Scope, Severity, ranked
from perene.core.errors import RefusedToStart

_NUMBERS = ("above", "below", "for_s", "resolve_after_s")
_TEXTS = ("signal", "sentence", "remedy")
_KEYS = ("enabled", "scope", "severity", *_NUMBERS, *_TEXTS, "held_back_by")
_NEEDED = ("scope", "signal", "severity", "sentence")
_RESOLVE_AFTER_S = 60.0
_LONGEST_NAME = 64

Choice = TypeVar("Choice", Scope, Severity)


class WrongAlertRules(RefusedToStart):
    """The file of alert rules holds something that cannot be used."""

    code = "wrong_alert_rules"
    remedy = "Mend the file that PERENE_ALERT_RULES_FILE names, or unset it, and start again."


def rules_with(text: str, shipped: Sequence[Rule] = SHIPPED) -> tuple[Rule, ...]:
    """Return the shipped rules as a TOML text changes them, and the rules that it adds.

    Raises WrongAlertRules, whose message names the rule and what is wrong with it.
    """
    try:
        content: dict[str, object] = tomllib.loads(text)
    except ValueError as error:
        raise WrongAlertRules(f"The file of alert rules is no TOML: {error}.") from None
    for key in content:
        if key != "rules":
            raise WrongAlertRules(f'The file of alert rules holds "{key}"; give [rules.NAME] only.')
    rules = {rule.name: rule for rule in shipped}
    for name, entry in _table(content.get("rules", {}), "rules").items():
        try:
            rule = _rule(name, _table(entry, f"rules.{name}"), rules.get(name))
        except (ValueError, OverflowError) as error:
            raise WrongAlertRules(f"The alert rule {name[:_LONGEST_NAME]}: {error}.") from None
        if rule is None:
            rules.pop(name, None)
        else:
            rules[name] = rule
    _check_order(rules, {rule.name: rule for rule in shipped} | rules)
    return tuple(rules.values())


def _check_order(rules: Mapping[str, Rule], known: Mapping[str, Rule]) -> None:
    """Look whether rules can be held back as they say; one that is switched off holds none back."""
    for rule in rules.values():
        for name in rule.held_back_by:
            if name not in known:
                raise WrongAlertRules(
                    f'The alert rule {rule.name}: held_back_by names "{name}", which is no rule.'
                )
            if known[name].scope is not rule.scope:
                raise WrongAlertRules(
                    f'The alert rule {rule.name}: held_back_by names "{name}", which is about the'
                    f" {known[name].scope}, and not about the {rule.scope}."
                )
    try:
        ranked(tuple(rules.values()))
    except ValueError as error:
        raise WrongAlertRules(f"The alert rules {error}.") from None


def _table(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise WrongAlertRules(f"In the file of alert rules, [{where}] is no table.")
    return cast("dict[str, object]", value)


def _rule(name: str, entry: Mapping[str, object], base: Rule | None) -> Rule | None:
    for key in entry:
        if key not in _KEYS:
            raise ValueError(f'"{key}" is unknown; give {", ".join(_KEYS)}')
    enabled = entry.get("enabled", True)
    if not isinstance(enabled, bool):
        raise ValueError("enabled must be true or false")  # noqa: TRY004  # as all that is wrong
    if not name or len(name) > _LONGEST_NAME:
        raise ValueError(f"a name has 1 to {_LONGEST_NAME} characters")
    if base is None and (enabled or len(entry) == 1):
        missing = [key for key in _NEEDED if key not in entry]
        if missing:
            raise ValueError(f"no rule of this name is shipped, and a new one needs {missing[0]}")
    rule = _built(name, entry, base) if enabled else None
    if rule is not None and rule.signal not in SIGNALS[rule.scope]:
        known = ", ".join(SIGNALS[rule.scope])
        raise ValueError(f'the {rule.scope} has no signal "{rule.signal}"; give one of {known}')
    return rule


def _built(name: str, entry: Mapping[str, object], base: Rule | None) -> Rule:
    above, below = _number(entry, "above"), _number(entry, "below")
    if base is not None and above is None and below is None:
        above, below = base.above, base.below
    for_s = _number(entry, "for_s")
    resolve_after_s = _number(entry, "resolve_after_s")
    return Rule(
        name=name,
        scope=_choice(Scope, entry, "scope", None if base is None else base.scope),
        signal=_text(entry, "signal", "" if base is None else base.signal),
        above=above,
        below=below,
        for_s=for_s if for_s is not None else 0.0 if base is None else base.for_s,
        resolve_after_s=resolve_after_s
        if resolve_after_s is not None
        else _RESOLVE_AFTER_S
        if base is None
        else base.resolve_after_s,
        severity=_choice(Severity, entry, "severity", None if base is None else base.severity),
        sentence=_text(entry, "sentence", "" if base is None else base.sentence),
        remedy=_text(entry, "remedy", "" if base is None else base.remedy),
        held_back_by=_names(entry, "held_back_by", () if base is None else base.held_back_by),
    )


def _number(entry: Mapping[str, object], key: str) -> float | None:
    value = entry.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{key} must be a number")
    return float(value)


def _text(entry: Mapping[str, object], key: str, otherwise: str) -> str:
    value = entry.get(key, otherwise)
    if not isinstance(value, str):
        raise ValueError(f"{key} must be a text")  # noqa: TRY004  # as all that is wrong
    return value


def _names(entry: Mapping[str, object], key: str, otherwise: tuple[str, ...]) -> tuple[str, ...]:
    value = entry.get(key)
    if value is None:
        return otherwise
    if not isinstance(value, list):
        raise ValueError(f"{key} must be a list of texts")  # noqa: TRY004  # as all that is wrong
    names = cast("list[object]", value)
    found = tuple(name for name in names if isinstance(name, str))
    if len(found) < len(names):
        raise ValueError(f"{key} must be a list of texts")
    return found


def _choice(
    kind: type[Choice], entry: Mapping[str, object], key: str, otherwise: Choice | None
) -> Choice:
    value = entry.get(key, otherwise)
    if value not in list(kind):
        raise ValueError(f"{key} must be one of {', '.join(kind)}")
    return kind(str(value))
