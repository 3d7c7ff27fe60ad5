"""Reads the alert rules: what is shipped, changed by the file that a setting names."""

from pathlib import Path

from perene.core.alert_overrides import rules_with
from perene.core.alert_rules import SHIPPED
from perene.core.alerts import Rule
from perene.settings.reading import WrongSetting


def read_alert_rules(path: Path | None) -> tuple[Rule, ...]:
    """Return the rules; None takes them as shipped.

    Raises WrongSetting for a file that cannot be read, WrongAlertRules for one that says something
    wrong.
    """
    if path is None:
        return SHIPPED
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise WrongSetting(
            f'PERENE_ALERT_RULES_FILE names "{path}", which cannot be read: {reason}.'
        ) from None
    return rules_with(text)
