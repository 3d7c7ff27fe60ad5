"""Where a connection goes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the server is, and how to get there.

    `ca_file` names a PEM file to trust besides the system's own (the simulator's, in tests).
    `proxy` is an http:// or https:// URL that takes CONNECT; None makes a direct connection,
    whatever the environment says.
    """

    url: str
    proxy: str | None = None
    ca_file: str | None = None
    tls_verify: bool = True
    connect_timeout_s: float = 90.0
