"""What the URL of a PostgreSQL database says of TLS, looked at before anybody connects.

The rest is libpq's, which reads the files anew for each connection, and falls back to nothing less
than what `sslmode` asks for. It does not look at these:
"""

import os
import ssl
import stat
from pathlib import Path
from typing import Final

from sqlalchemy import URL

from perene.store.errors import CannotConnect

_FILES: Final = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
"""libpq goes on without the certificate, or the list of those withdrawn, that is not there."""

_UNSAFE: Final = ("disable", "allow", "prefer")
_SYSTEM: Final = "system"


def check_tls(url: URL) -> None:
    """Raise CannotConnect for files that are missing, and for authorities that would be passed
    over: without an `sslmode` that asks for TLS, libpq goes on in plain text."""
    for name in _FILES:
        path = url.query.get(name)
        if isinstance(path, str) and path and not (name == "sslrootcert" and path == _SYSTEM):
            _check_file(name, Path(path))
    mode = url.query.get("sslmode", os.environ.get("PGSSLMODE", "prefer"))
    if "sslrootcert" in url.query and mode in _UNSAFE:
        raise CannotConnect(
            "the database URL names sslrootcert, and asks for no TLS: add sslmode=verify-full"
        )
    if url.query.get("sslrootcert", os.environ.get("PGSSLROOTCERT")) == _SYSTEM:
        _find_authorities()


def _check_file(name: str, path: Path) -> None:
    try:
        # Nobody may ever write to a pipe: opening it could take for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise CannotConnect(f"the database URL names {path} as {name}, which is not a file")
        path.open("rb").close()
    except OSError as error:
        raise CannotConnect(
            f"the database URL names {path} as {name}, which cannot be read: {error.strerror}"
        ) from None


def _find_authorities() -> None:
    """Have libpq trust the authorities that this machine trusts.

    The OpenSSL that comes with psycopg's wheel looks for them where there are none.
    """
    found = ssl.get_default_verify_paths()
    if found.cafile:  # may be None, whatever its type says
        os.environ.setdefault(found.openssl_cafile_env, found.cafile)
    if found.capath:
        os.environ.setdefault(found.openssl_capath_env, found.capath)
