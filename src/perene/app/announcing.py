"""What a service that has started says of itself: its first key, and where it is."""

import contextlib
import io
import sys

import structlog

from perene import __version__
from perene.api import announce_first_key
from perene.core.errors import StorageUnavailable
from perene.process.log_writer import write_within
from perene.process.threads import NoMoreThreads, in_thread
from perene.settings import Settings
from perene.store.store import Store

log = structlog.stdlib.get_logger()

_KEY_REMEDY = "`perene key create NAME` makes an API key."


async def announce(settings: Settings, store: Store, port: int) -> None:
    """Show the key that a new service makes, and the address; log what cannot be shown.

    Raises nothing: it is done beside the sessions, and nobody would hear of it.
    """
    try:
        await _show_first_key(store)
    except StorageUnavailable as error:
        # Sessions come first; a service that is not new has its key.
        log.warning("first_key_not_made", reason=str(error), remedy=_KEY_REMEDY)
    except OSError as error:
        log.warning("first_key_not_shown", reason=error.strerror, remedy=_KEY_REMEDY)
    except Exception:  # a bug, for whoever reads the log; no session needs a key
        log.exception("first_key_not_made", remedy=_KEY_REMEDY)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{host}:{port}"
    log.info("serving", url=url, version=__version__, endpoint=settings.endpoint)
    # Nobody reads it, or the disk is full.
    with contextlib.suppress(OSError, NoMoreThreads):
        told = f"Perene {__version__} serves at {url} (API: {url}/docs)\n"
        await in_thread(write_within, sys.stdout, told)


async def _show_first_key(store: Store) -> None:
    if not await store.list_api_keys():
        _, text = await store.create_api_key("first")
        announce_first_key(text, shown := io.StringIO())
        await in_thread(write_within, sys.stdout, shown.getvalue())
