"""What one connection is told: where to go, who to say it is, and how patient to be."""

from dataclasses import dataclass

from perene.engine.client_payload import ClientIdentity
from perene.engine.endpoint import Endpoint

FIRST_PRE_KEYS = 812
"""First supply, and the refill of an empty one (docs/reference/protocol.md §1.6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """The settings of the engine. Times in seconds; defaults as in requirement A5.

    Clients wait 60 to 75 s for the answer to a query (docs/reference/protocol.md §1.7).
    `mark_online` decides whether senders see a second tick at once (C7: off). `first_pre_keys` is
    how many one-time pre-keys a new device offers. `max_stanzas_waiting` bounds what was read and
    not processed, `max_answers_waiting` the answers that wait for their commit; then the socket is
    left alone.
    """

    endpoint: Endpoint
    root_key: bytes
    client: ClientIdentity
    handshake_timeout_s: float = 20.0
    query_timeout_s: float = 60.0
    keepalive_s: float = 10.0
    heartbeat_s: float = 30.0
    qr_timeout_s: float = 60.0
    retry_delay_s: float = 0.5
    max_retries: int = 3
    sent_cache: int = 100
    drain_timeout_s: float = 10.0
    limit_hold_s: float = 24 * 3600.0
    first_pre_keys: int = FIRST_PRE_KEYS
    max_stanzas_waiting: int = 1000
    max_answers_waiting: int = 2000
    mark_online: bool = False
