"""`perene policy`: every cause, what follows, and what was changed."""

import json

import pytest

from perene.core.causes import Cause
from perene.core.hearing import NUMBERS
from perene.core.policy import POLICIES
from tests.unit.cli.conftest import Shell


def line_of(printed: str, cause: Cause) -> str:
    return next(line for line in printed.splitlines() if line.split(" ")[0] == cause)


@pytest.mark.requirement("D3")
def test_every_cause_is_shown_with_its_sentence(shell: Shell):
    printed = shell.read("policy")
    for cause, policy in POLICIES.items():
        assert policy.sentence in line_of(printed, cause)
    assert "*" not in printed
    restart = line_of(printed, Cause.RESTART_REQUIRED)
    assert " 10 " in restart
    assert "5 min more each time" in restart


def test_what_settings_changed_bears_a_star(shell: Shell, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PERENE_POLICIES", "network.limit=50,unknown.schedule=fixed:60")
    printed = shell.read("policy")
    assert "50*" in line_of(printed, Cause.NETWORK)
    assert "every 1 min, ±10 %*" in line_of(printed, Cause.UNKNOWN)
    assert printed.endswith("* changed by PERENE_POLICIES\n")
    told = json.loads(shell.read("policy", "--json"))
    assert (told["network"]["limit"], told["network"]["changed"]) == (50, ["limit"])
    assert told["dns"]["changed"] == []


def test_a_policy_that_cannot_be_is_told(shell: Shell, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PERENE_POLICIES", "network.limit=-1")
    assert shell("policy") == 2
    assert "PERENE_POLICIES" in shell.err


@pytest.mark.requirement("F3")
def test_the_numbers_for_deaf_connections_are_shown_with_what_they_mean(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
):
    printed = shell.read("policy")
    for number in NUMBERS:
        assert f"hearing.{number.name} " in printed
        assert number.meaning in printed
    monkeypatch.setenv("PERENE_POLICIES", "hearing.phone_silence=3600")
    line = next(one for one in shell.read("policy").splitlines() if "phone_silence" in one)
    assert "3600*" in line
    told = json.loads(shell.read("policy", "--json"))
    assert told["deaf"]["hearing"]["phone_silence"] == 3600
    assert told["deaf"]["hearing"]["questions"] == 2
