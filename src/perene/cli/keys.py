"""The commands `perene key …`: they work on the database, whether the service runs or not."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

from cyclopts import App, Parameter

from perene.cli.confirming import confirmed
from perene.cli.exits import REFUSED, REFUSED_BY_SERVICE
from perene.cli.writing import shown_moment, table

app = App(name="key", help="List, make and revoke API keys, at the machine of the service.")

_ID = re.compile(r"k_[0-9a-f]{12}")
_COLUMNS = ("ID", "NAME", "MADE")
_LONGEST_NAME = 200

AsJson = Annotated[bool, Parameter(name="--json", negative=())]


@app.command(name="list")
def list_keys(*, raw: AsJson = False) -> int:
    """List the API keys; what they say is not stored, and can be shown by nobody.

    Parameters
    ----------
    raw
        Print them as JSON.
    """
    from perene.api_keys import keys
    from perene.settings import read_settings

    def work() -> int:
        found = keys(read_settings())
        if raw:
            told = [{**asdict(key), "created_at": key.created_at.isoformat()} for key in found]
            print(json.dumps({"items": told}, indent=2, ensure_ascii=False))
        elif found:
            rows = [(key.id, key.name, shown_moment(key.created_at)) for key in found]
            print(table(_COLUMNS, rows))
        else:
            print("There are no API keys; `perene key create NAME` makes one.")
        return 0

    return _told(work)


@app.command
def create(name: str, /) -> int:
    """Make an API key. Standard output gets the key and nothing else; it is shown only now.

    Parameters
    ----------
    name
        Whom the key is for, as lists and logs shall show it.
    """
    from perene.api_keys import create, revoke
    from perene.settings import read_settings

    if not name.strip() or not name.isprintable() or len(name) > _LONGEST_NAME:
        print(
            "That cannot be the name of a key.\n"
            f"Give 1 to {_LONGEST_NAME} letters that can be printed.",
            file=sys.stderr,
        )
        return REFUSED

    def work() -> int:
        settings = read_settings()
        key, text = create(settings, name.strip())
        try:
            print(text)
            sys.stdout.flush()
        except OSError:
            revoke(settings, key.id)  # nobody has seen it
            raise
        print(
            f"This is the key {key.id} for {key.name}, shown only now; a digest of it is stored.\n"
            "It can do everything that the HTTP API can, from now on.",
            file=sys.stderr,
        )
        return 0

    return _told(work)


@app.command
def revoke(key: str, /, *, yes: Annotated[bool, Parameter(negative=())] = False) -> int:
    """Revoke an API key for good: whoever uses it is refused from now on.

    A running service ends the event streams that were opened with it within two seconds.

    Parameters
    ----------
    key
        Id of the key, which `perene key list` shows.
    yes
        Do not ask for a confirmation.
    """
    from perene.api_keys import find, revoke
    from perene.settings import read_settings

    if not _ID.fullmatch(key):
        # It may be the text of one, which does not belong on a screen.
        print(
            "That is not the id of an API key.\n"
            "An id is k_ and 12 digits and letters; `perene key list` shows them.",
            file=sys.stderr,
        )
        return REFUSED

    def work() -> int:
        settings = read_settings()
        name = find(settings, key).name
        refused = yes or confirmed(
            f"Revoke the key {key} of {name}? Programs that use it are refused then. [y/N] ",
            "Programs that use a revoked key are refused.",
        )
        if refused is not True:
            return refused
        left = revoke(settings, key)
        print(f"The key {key} of {name} is revoked.")
        if not left:
            print(
                "No key is left: make one with `perene key create NAME`, or the next start of the"
                " service makes one and shows it."
            )
        return 0

    return _told(work)


def _told(work: Callable[[], int]) -> int:
    """Do it and return the exit status, having printed what went wrong."""
    from perene.core.errors import NotFound, PereneError, StorageUnavailable, sentence

    try:
        return work()
    except NotFound as error:
        print(f"{sentence(error)}\n`perene key list` shows those that exist.", file=sys.stderr)
        return REFUSED_BY_SERVICE
    except StorageUnavailable as error:
        remedy = "Check that it runs, can be reached, and has room; see `perene key list` then."
        print(f"{sentence(error)}\n{remedy}", file=sys.stderr)
        return REFUSED
    except PereneError as error:
        print(f"{sentence(error)}\n{error.remedy}", file=sys.stderr)
        return REFUSED
