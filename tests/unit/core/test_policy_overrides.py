"""What the user may change of the policies, and what is refused."""

import pytest

from perene.core.causes import Cause
from perene.core.policy import POLICIES
from perene.core.policy_overrides import policies_with
from perene.core.schedules import Growth


def test_settings_change_schedules_and_limits_and_nothing_else() -> None:
    changed = policies_with({"network.limit": "50", "dns.schedule": "fixed:60..60"})
    assert changed[Cause.NETWORK].limit == 50
    schedule = changed[Cause.DNS].schedule
    assert schedule is not None
    assert schedule.growth is Growth.FIXED
    assert changed[Cause.UNKNOWN] is POLICIES[Cause.UNKNOWN]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("nothing.limit", "5"),
        ("network.limit", "0"),
        ("network.limit", "many"),
        ("network.reaction", "stop"),
        ("banned.limit", "5"),
        ("dns.schedule", "now"),
        ("dns.schedule", "fixed:0"),
        ("dns.schedule", "fibonacci:60..10"),
    ],
)
def test_a_wrong_change_of_a_policy_names_its_entry(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        policies_with({name: value})
