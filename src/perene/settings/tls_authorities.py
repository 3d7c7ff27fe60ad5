"""Reads the file of TLS authorities once, so that a start is refused which no dial could follow."""

import ssl
import stat
from pathlib import Path

from perene.settings.reading import WrongSetting


def count_authorities(path: Path) -> int:
    """Return how many certificates the file that PERENE_TLS_CA_FILE names holds, at least one.

    Raises WrongSetting for a file that is missing, cannot be read, or holds none. Each dial reads
    the file anew when it has changed; what becomes of it later ends no open connection.
    """
    named = f'PERENE_TLS_CA_FILE names "{path}", which'
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        # Nobody may ever write to a pipe: opening it could take for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise WrongSetting(f"{named} is not a file.")
        context.load_verify_locations(path)
    except ssl.SSLError:
        raise WrongSetting(f"{named} holds no certificate in PEM form.") from None
    except OSError as error:
        raise WrongSetting(f"{named} cannot be read: {error.strerror}.") from None
    count = context.cert_store_stats()["x509"]
    if not count:
        raise WrongSetting(f"{named} holds no certificate in PEM form.")
    return count
