"""The settings: defaults, names, units, and the sentence about a wrong value."""

import base64
import os
from pathlib import Path
from unittest.mock import Mock

import pytest
from pydantic import SecretStr, ValidationError

from perene.settings import (
    INHERITED,
    Settings,
    WrongSetting,
    read_settings,
    unknown_variables,
    variable,
    what_to_give,
)


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("PERENE_", "BAILEYS_")):
            monkeypatch.delenv(name)


@pytest.mark.requirement("A5")
def test_the_defaults_are_those_that_users_asked_for():
    settings = read_settings()
    assert settings.connect_timeout_s == 90
    assert settings.keepalive_s == 10
    assert settings.qr_timeout_s == 60
    assert settings.retry_delay_ms == 500
    assert settings.max_message_retries == 3
    assert settings.cached_sent_messages == 100
    assert settings.heartbeat_s == 30


@pytest.mark.requirement("A5")
@pytest.mark.parametrize(
    "name",
    [
        "CONNECT_TIMEOUT_S",
        "KEEPALIVE_S",
        "QR_TIMEOUT_S",
        "RETRY_DELAY_MS",
        "MAX_MESSAGE_RETRIES",
        "CACHED_SENT_MESSAGES",
        "HEARTBEAT_S",
    ],
)
def test_each_has_its_own_variable(monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv(f"PERENE_{name}", "7")
    assert getattr(read_settings(), name.lower()) == 7


@pytest.mark.requirement("A5")
@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("BAILEYS_CONNECT_TIMEOUT_MS", "45000", "connect_timeout_s", 45),
        ("BAILEYS_KEEP_ALIVE_INTERVAL_MS", "2500", "keepalive_s", 2.5),
        ("BAILEYS_QR_TIMEOUT", "30000", "qr_timeout_s", 30),
        ("BAILEYS_MAX_MSG_RETRY_COUNT", "5", "max_message_retries", 5),
        ("BAILEYS_RETRY_REQUEST_DELAY_MS", "250", "retry_delay_ms", 250),
    ],
)
def test_names_of_another_gateway_are_accepted_in_their_units(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, field: str, expected: float
):
    monkeypatch.setenv(name, value)
    assert getattr(read_settings(), field) == expected


@pytest.mark.requirement("A5")
@pytest.mark.parametrize("name", INHERITED)
def test_our_own_name_wins_over_an_inherited_one(monkeypatch: pytest.MonkeyPatch, name: str):
    field = INHERITED[name].field
    monkeypatch.setenv(name, "9000")
    monkeypatch.setenv(variable(field), "8")
    assert getattr(read_settings(), field) == 8


@pytest.mark.parametrize(
    ("name", "value", "give"),
    [
        ("PERENE_PORT", "abc", "a whole number from 0 to 65535"),
        ("PERENE_PORT", "70000", "a whole number from 0 to 65535"),
        ("PERENE_KEEPALIVE_S", "0", "a number from 0.001 to 3600"),
        ("PERENE_LOG_LEVEL", "loud", "debug or info or warning or error"),
        ("PERENE_TLS_VERIFY", "perhaps", "true or false"),
        ("PERENE_ENDPOINT", "https://example.org", "an address that begins with wss:// or ws://"),
        ("PERENE_VERSION_URL", "ws://x", "an address that begins with https:// or http://"),
        ("PERENE_CLIENT_VERSION", "2.3", "three numbers with dots, as 2.3000.1035194821"),
        ("PERENE_NOISE_ROOT_KEY", "abc", "32 bytes in hex or base64"),
        ("BAILEYS_QR_TIMEOUT", "1m", "a whole number from 1 to 3600000"),
    ],
)
def test_a_wrong_value_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, give: str
):
    monkeypatch.setenv(name, value)
    with pytest.raises(WrongSetting) as caught:
        read_settings()
    assert str(caught.value) == f'{name} is "{value}", which cannot be used: give {give}.'


def test_a_user_without_a_home_is_asked_for_a_path(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HOME", raising=False)
    # As in a container that is given a number in place of a user.
    monkeypatch.setattr("pwd.getpwuid", Mock(side_effect=KeyError("no such user")))
    with pytest.raises(WrongSetting) as caught:
        read_settings()
    assert str(caught.value) == (
        "PERENE_DATA_DIR: ~/.local/share/perene lies in a home directory that nobody knows;"
        " give a path without ~."
    )


def test_a_path_with_the_home_of_nobody_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PERENE_TLS_CA_FILE", "~nobody-of-this-name/ca.pem")
    with pytest.raises(
        WrongSetting, match=r"^PERENE_TLS_CA_FILE: ~nobody-of-this-name/ca.pem lies"
    ):
        read_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PERENE_DATA_DIR", b"/srv/d\xe4ta"),
        ("PERENE_MASTER_KEY_FILE", b"/srv/d\xe4ta/key"),
        ("PERENE_DATABASE_URL", b"sqlite:////srv/d\xe4ta/perene.db"),
    ],
)
def test_a_path_of_bytes_that_are_no_text_is_told(
    monkeypatch: pytest.MonkeyPatch, name: str, value: bytes
):
    monkeypatch.setenv(name, os.fsdecode(value))
    with pytest.raises(WrongSetting) as caught:
        read_settings()
    assert str(caught.value) == f"{name}: it is not UTF-8; give another, or set LC_ALL=C.UTF-8."


@pytest.mark.parametrize("name", ["PERENE_MASTER_KEY", "PERENE_DATABASE_URL", "PERENE_PROXY"])
def test_a_wrong_secret_is_not_repeated(monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv(name, "hunter2")
    with pytest.raises(WrongSetting, match=f"^{name} cannot be used: give ") as caught:
        read_settings()
    assert "hunter2" not in str(caught.value)


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PERENE_DATABASE_URL", "postgresql://me:hunter2@localhost/perene")
    monkeypatch.setenv("PERENE_MASTER_KEY", "ab" * 32)
    assert "hunter2" not in repr(read_settings())
    assert "abab" not in repr(read_settings())
    assert read_settings().database == "postgresql://me:hunter2@localhost/perene"


@pytest.mark.parametrize(
    "text",
    [
        bytes(range(220, 252)).hex(),
        base64.b64encode(bytes(range(220, 252))).decode(),
        base64.urlsafe_b64encode(bytes(range(220, 252))).decode(),
    ],
)
def test_a_key_is_read_from_hex_and_base64(text: str):
    settings = Settings(master_key=SecretStr(text), noise_root_key=text)
    assert settings.noise_root_key_bytes == bytes(range(220, 252))
    assert settings.master_key == SecretStr(base64.b64encode(bytes(range(220, 252))).decode())


@pytest.mark.parametrize(
    ("endpoint", "page"),
    [
        ("wss://web.whatsapp.com/ws/chat", "https://web.whatsapp.com/sw.js"),
        ("ws://127.0.0.1:8080/ws/chat", "http://127.0.0.1:8080/sw.js"),
        ("wss://[::1]:8443/ws/chat?a=b", "https://[::1]:8443/sw.js"),
    ],
)
def test_the_live_version_is_looked_up_on_the_endpoints_host(endpoint: str, page: str):
    assert Settings(endpoint=endpoint).version_address == page
    elsewhere = "http://example.org/version"
    assert Settings(endpoint=endpoint, version_url=elsewhere).version_address == elsewhere


def test_everything_is_in_the_data_directory_by_default():
    settings = Settings(data_dir=Path("/srv/perene"))
    assert settings.database == "sqlite:////srv/perene/perene.db"
    assert settings.master_key_path == Path("/srv/perene/master.key")
    assert settings.master_key is None
    assert settings.noise_root_key_bytes is None
    assert settings.client_version_numbers is None


def test_a_client_version_is_three_numbers():
    version = Settings(client_version="2.3000.1035194821").client_version_numbers
    assert version == (2, 3000, 1035194821)


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PERENE_PORT", "")
    monkeypatch.setenv("BAILEYS_QR_TIMEOUT", " ")
    assert read_settings() == Settings()


def test_settings_never_change():
    with pytest.raises(ValidationError):
        Settings().port = 1


def test_a_misspelt_variable_is_pointed_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PERENE_PROT", "1")
    monkeypatch.setenv("PERENE_ZEBRA_FOOD", "1")
    assert unknown_variables() == (
        "PERENE_PROT is not a setting; did you mean PERENE_PORT?",
        "PERENE_ZEBRA_FOOD is not a setting.",
    )


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented(name: str):
    field = Settings.model_fields[name]
    assert field.description
    assert field.description.endswith(".")
    assert what_to_give(field)
    for suffix, unit in (("_s", "in seconds"), ("_ms", "in milliseconds"), ("_bytes", "in bytes")):
        assert not name.endswith(suffix) or unit in field.description


def test_limits_and_schedules_can_be_changed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PERENE_POLICIES", "network.limit=50, unknown.schedule = fixed:60 ,")
    assert read_settings().policy_overrides == {
        "network.limit": "50",
        "unknown.schedule": "fixed:60",
    }


def test_numbers_for_deaf_connections_can_be_changed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PERENE_POLICIES", "hearing.questions=0, network.limit=50")
    assert read_settings().hearing_overrides == {"questions": "0"}
    assert read_settings().policy_overrides == {"network.limit": "50"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hearing.question=1", '"hearing.question=1" cannot be used: give one of restarts_a_month'),
        ("hearing.questions=6", "give a whole number from 0 to 5"),
        ("hearing.questions=1.5", "give a whole number from 0 to 5"),
        ("hearing.phone_silence=nan", "give a number from 600 to 2592000"),
        ("network.limit", '"network.limit" is no entry'),
        ("network.limit=0", '"network.limit=0" cannot be used: give a whole number from 1 to 1000'),
        ("nobody.limit=3", '"nobody.limit" names no cause that can be set. There are: restart_req'),
        ("netwrk.limit=3", "did you mean network?"),
        ("banned.limit=3", '"banned.limit" names no cause that can be set'),
        ("network.sentence=x", "give network.limit or network.schedule"),
        ("network.limit=3,network.limit=4", '"network.limit" is given twice'),
        ("unknown.schedule=often", '"unknown.schedule=often" cannot be used: give fixed:60'),
        ("dns.limit=3,unknown.schedule=fixed:0", '"unknown.schedule=fixed:0" cannot be used'),
    ],
)
def test_a_policy_that_cannot_be_is_refused_by_its_entry_with_what_can(
    monkeypatch: pytest.MonkeyPatch, text: str, told: str
):
    monkeypatch.setenv("PERENE_POLICIES", text)
    with pytest.raises(WrongSetting) as caught:
        read_settings()
    assert str(caught.value).startswith("PERENE_POLICIES: ")
    assert told in str(caught.value)


def test_variables_of_commands_are_known(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PERENE_URL", "http://127.0.0.1:8080")
    monkeypatch.setenv("PERENE_API_KEY", "pk_x")
    assert unknown_variables() == ()


@pytest.mark.parametrize(
    ("host", "given", "without_key"),
    [
        ("127.0.0.1", None, True),
        ("::1", None, True),
        ("localhost", None, True),
        ("0.0.0.0", None, False),  # noqa: S104  # nothing is bound
        ("perene.example", None, False),
        ("0.0.0.0", "true", True),  # noqa: S104  # nothing is bound
        ("127.0.0.1", "false", False),
    ],
)
def test_metrics_need_no_key_where_only_this_machine_can_ask_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, host: str, given: str | None, without_key: bool
):
    monkeypatch.setenv("PERENE_HOST", host)
    if given is not None:
        monkeypatch.setenv("PERENE_METRICS_PUBLIC", given)
    assert read_settings().metrics_without_key is without_key
