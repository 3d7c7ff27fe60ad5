"""The settings of the service: one frozen model.

A field `port` is read from `PERENE_PORT`. A bare number carries its unit at the end of its name:
`_s` seconds, `_ms` milliseconds, `_bytes` bytes. An empty variable counts as not set.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr
from pydantic.config import JsonDict
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from perene.core.written_keys import key_of_32_bytes
from perene.settings.checks import (
    check_database,
    check_endpoint,
    check_key,
    check_proxy,
    check_web_address,
    is_loopback,
    local_path,
    secret_key,
)
from perene.settings.inherited import InheritedSource
from perene.settings.policies import (
    cause_entries,
    check_policies,
    hearing_entries,
    policy_entries,
)

PREFIX = "PERENE_"


def _give(what: str) -> JsonDict:
    """Say what a text field takes, for the sentence about a wrong value and for the reference."""
    return {"give": what}


_LocalPath = Annotated[Path, AfterValidator(local_path)]


class Settings(BaseSettings):
    """Everything that can be set. Made by `read_settings`, then handed down, never looked up."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True
    )

    # --- where things are ---
    data_dir: _LocalPath = Field(
        default=Path("~/.local/share/perene"),
        validate_default=True,
        description="Directory of the database and the master key; made with mode 700.",
        json_schema_extra=_give("a path of a directory"),
    )
    database_url: Annotated[SecretStr, AfterValidator(check_database)] | None = Field(
        default=None,
        description="Database of all sessions; the default is the file perene.db in the data"
        " directory.",
        json_schema_extra=_give("sqlite:///… or postgresql://user:password@host/name"),
    )
    master_key: Annotated[SecretStr, AfterValidator(secret_key)] | None = Field(
        default=None,
        description="Key that seals credentials in the database; the default is kept in the file"
        " that PERENE_MASTER_KEY_FILE names.",
        json_schema_extra=_give("32 random bytes in hex or base64"),
    )
    master_key_file: _LocalPath | None = Field(
        default=None,
        description="File of the master key, made on first start with mode 600; the default is"
        " master.key in the data directory.",
        json_schema_extra=_give("a path of a file"),
    )

    # --- the HTTP service ---
    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address to listen on.",
        json_schema_extra=_give(
            "an IP address or host name of this machine; :: for all, IPv4 and IPv6"
        ),
    )
    port: int = Field(
        default=8080,
        ge=0,
        le=65535,
        description="Port to listen on; 0 takes a free one and prints it.",
    )
    max_body_bytes: int = Field(
        default=1024 * 1024,
        ge=1024,
        le=1024**3,
        description="Largest request body that is accepted, in bytes.",
    )
    max_event_streams: int = Field(
        default=256,
        ge=1,
        le=100_000,
        description="Event streams that may be open at the same time; a further one is refused.",
    )
    metrics_public: bool | None = Field(
        default=None,
        description="Whether /metrics is shown without an API key; the default is yes while the"
        " service listens on this machine alone (a loopback address), and no otherwise.",
        json_schema_extra=_give("true or false"),
    )
    shutdown_timeout_s: float = Field(
        default=20,
        ge=0,
        le=3600,
        description="Time that a stopping service takes at most to finish what is under way, in"
        " seconds.",
    )

    # --- logs ---
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        description="Least important lines that are logged.",
    )
    log_format: Literal["json", "console"] = Field(
        default="json",
        description="Form of a log line: one JSON object, or text for a person.",
    )

    # --- WhatsApp ---
    endpoint: Annotated[str, AfterValidator(check_endpoint)] = Field(
        default="wss://web.whatsapp.com/ws/chat",
        description="WebSocket address of the chat server; change it to talk to a simulator.",
        json_schema_extra=_give("an address that begins with wss:// or ws://"),
    )
    noise_root_key: Annotated[str, AfterValidator(check_key)] | None = Field(
        default=None,
        description="Public key that the chat server's certificate must lead to; the default is"
        " WhatsApp's own.",
        json_schema_extra=_give("32 bytes in hex or base64"),
    )
    client_version: str | None = Field(
        default=None,
        pattern=r"^\d{1,9}\.\d{1,9}\.\d{1,10}$",
        description="WhatsApp Web version to present, whatever happens. Without it, it is the one"
        " this release was made with, or a newer one that was found: the live one is looked for"
        " before a device is linked, and when WhatsApp refuses ours as too old.",
        json_schema_extra=_give("three numbers with dots, as 2.3000.1035194821"),
    )
    version_url: Annotated[str, AfterValidator(check_web_address)] | None = Field(
        default=None,
        description="Page that names the live WhatsApp Web version, fetched before a"
        " device is linked, once a day at the most, and when WhatsApp refuses ours as too old; the"
        " default is /sw.js on the host of PERENE_ENDPOINT.",
        json_schema_extra=_give("an address that begins with https:// or http://"),
    )
    proxy: Annotated[SecretStr, AfterValidator(check_proxy)] | None = Field(
        default=None,
        description="Proxy for connections to the chat server; a session can have its own.",
        json_schema_extra=_give("http://host:port or https://user:password@host:port"),
    )
    tls_verify: bool = Field(
        default=True,
        description="Whether the chat server's TLS certificate is checked. The Noise certificate"
        " always is.",
    )
    tls_ca_file: _LocalPath | None = Field(
        default=None,
        description="PEM file with the authorities to trust for TLS besides the system's. It is"
        " read anew when it has changed.",
        json_schema_extra=_give("a path of a file"),
    )

    # --- the life of a connection ---
    connect_timeout_s: float = Field(
        default=90,
        ge=0.001,
        le=3600,
        description="Time to reach the chat server and finish the handshake, in seconds.",
    )
    start_at_once: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Connections that log in at the same time on one way to WhatsApp (direct, or by"
        " a proxy); further ones wait their turn. Those that failed before count apart, and those"
        " that are unusually slow no longer; with these, never more than four times as many are on"
        " their way.",
    )
    start_per_second: float = Field(
        default=500,
        ge=0.1,
        le=10_000,
        description="Connections that are begun in a second, at most.",
    )
    keepalive_s: float = Field(
        default=10,
        ge=0.001,
        le=3600,
        description="Time of silence after which a ping is sent, in seconds.",
    )
    qr_timeout_s: float = Field(
        default=60,
        ge=0.001,
        le=3600,
        description="Time that the first QR code stands before the next replaces it, in seconds.",
    )
    retry_delay_ms: int = Field(
        default=500,
        ge=0,
        le=3_600_000,
        description="Time before a resend of an unreadable message is asked for, in milliseconds.",
    )
    max_message_retries: int = Field(
        default=3,
        ge=0,
        le=100,
        description="Resends of one unreadable message that are asked for.",
    )
    cached_sent_messages: int = Field(
        default=100,
        ge=0,
        le=100_000,
        description="Sent messages of each session that are kept in memory to answer resend"
        " requests; older ones are read from the database.",
    )
    heartbeat_s: float = Field(
        default=30,
        ge=0.001,
        le=3600,
        description="Time within which an open connection proves that it is alive, in seconds;"
        " the server is asked twice in that time. Above 240 the alert session_heartbeat needs a"
        " higher threshold.",
    )
    query_timeout_s: float = Field(
        default=60,
        ge=0.001,
        le=3600,
        description="Time to wait for the chat server's answer to a query, in seconds.",
    )
    history_sync: bool = Field(
        default=True,
        description="Whether a new device asks for the full history; a session can differ.",
    )
    mark_online: bool = Field(
        default=False,
        description="Whether a session answers as a device in use, so that senders see the second"
        " tick at once; nobody is shown as online; a session can differ.",
    )

    policies: Annotated[str, AfterValidator(check_policies)] | None = Field(
        default=None,
        description="Limits and schedules of reconnection, and numbers by which a connection is"
        " taken for deaf, that differ from the shipped ones; `perene policy` shows all.",
        json_schema_extra=_give(
            "entries parted by commas, as network.limit=50, dns.schedule=fibonacci:1..900,"
            " unknown.schedule=fixed:60 (seconds), hearing.questions=0; `perene policy` names the"
            " causes and numbers"
        ),
    )

    # --- account safety ---
    new_chats_per_day: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="New chats that a session may begin in 24 hours; 0 for any number, because"
        " WhatsApp publishes none.",
    )
    new_chat_pause_s: float = Field(
        default=0,
        ge=0,
        le=86_400,
        description="Least time between two new chats of a session, in seconds.",
    )
    limit_hold_s: float = Field(
        default=24 * 3600,
        ge=60,
        le=365 * 86_400,
        description="Time without new chats after WhatsApp refused one, in seconds, unless it says"
        " itself how long.",
    )

    # --- saving ---
    save_attempts: int = Field(
        default=3,
        ge=1,
        le=100,
        description="Times that saving a transaction is tried, or reading for a connection, before"
        " the connection is closed.",
    )
    save_timeout_s: float = Field(
        default=10,
        ge=0.001,
        le=3600,
        description="Time that one attempt to save may take, and all attempts to read together, in"
        " seconds.",
    )
    save_wait_s: float = Field(
        default=2,
        ge=0,
        le=3600,
        description="Wait after the first failed attempt to save or read, in seconds; it is twice"
        " as long after the second, three times after the third.",
    )
    commit_max_units: int = Field(
        default=256,
        ge=1,
        le=10_000,
        description="Stanzas whose changes are committed in one transaction, at most.",
    )

    retention_days: int = Field(
        default=90,
        ge=1,
        le=3650,
        description="Days for which events, outages that are over, resolved alerts, used"
        " idempotency keys and hashes of what was received are kept. Messages stay. A limit that"
        " WhatsApp set is known by its event.",
    )

    # --- alerts ---
    alert_urls: SecretStr | None = Field(
        default=None,
        description="Where alerts are sent: addresses of apprise, parted by white space or commas."
        " Without any, alerts are only logged and kept.",
        json_schema_extra=_give("addresses as mailtos://… or json://host/path"),
    )
    alert_rules_file: _LocalPath | None = Field(
        default=None,
        description="TOML file that changes, switches off or adds alert rules.",
        json_schema_extra=_give("a path of a TOML file"),
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Look at arguments first, then at our variables, then at the inherited ones."""
        return init_settings, env_settings, InheritedSource(settings_cls)

    @property
    def metrics_without_key(self) -> bool:
        """Whether the metrics are shown to everybody who can reach the service."""
        return is_loopback(self.host) if self.metrics_public is None else self.metrics_public

    @property
    def database(self) -> str:
        """Return the address of the database, the default made from the data directory."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir / 'perene.db'}"

    @property
    def master_key_path(self) -> Path:
        """Return the file that keeps the master key when no variable gives it."""
        return self.master_key_file or self.data_dir / "master.key"

    @property
    def alert_addresses(self) -> str:
        """Return where alerts are sent, "" for nowhere; it holds secrets."""
        return "" if self.alert_urls is None else self.alert_urls.get_secret_value()

    @property
    def noise_root_key_bytes(self) -> bytes | None:
        """Return the 32 bytes of the root key, None for WhatsApp's own."""
        return None if self.noise_root_key is None else key_of_32_bytes(self.noise_root_key)

    @property
    def client_version_numbers(self) -> tuple[int, int, int] | None:
        """Return the version as three numbers, None for the engine's own."""
        if self.client_version is None:
            return None
        first, second, third = self.client_version.split(".")
        return int(first), int(second), int(third)

    @property
    def policy_overrides(self) -> Mapping[str, str]:
        """Return the changed limits and schedules, as `policies_with` takes them."""
        return cause_entries(policy_entries(self.policies or ""))

    @property
    def hearing_overrides(self) -> Mapping[str, str]:
        """Return the changed numbers for deaf connections, as `hearing_with` takes them."""
        return hearing_entries(policy_entries(self.policies or ""))

    @property
    def version_address(self) -> str:
        """Return the page that names the live client version, by default the endpoint's."""
        if self.version_url is not None:
            return self.version_url
        parts = urlsplit(self.endpoint)
        scheme = "https" if parts.scheme == "wss" else "http"
        return f"{scheme}://{parts.netloc}/sw.js"
