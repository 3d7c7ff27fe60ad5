"""Whether the file of an SQLite database is whole, as far as SQLite can tell."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

_INTERRUPT_EVERY_S = 0.001


def damage_of(file: Path, *, within_s: float) -> str | None:
    """Return the first thing that is wrong with a file, as SQLite says it; None if it is whole.

    Reads every page, beside whoever else reads and writes. Raises TimeoutError if that takes longer
    than so many seconds. Blocking. The file must be an open database's: the one that opens the
    journal of another first has to write, and this does not.
    """
    uri = f"file:{quote(str(file.absolute()))}?mode=ro"
    done = threading.Event()
    with closing(sqlite3.connect(uri, uri=True, check_same_thread=False)) as connection:

        def interrupt() -> None:
            if not done.wait(within_s):
                # More than once: it ends only what has begun.
                while not done.wait(_INTERRUPT_EVERY_S):
                    connection.interrupt()

        alarm = threading.Thread(target=interrupt, name="end of a look at a file")
        alarm.start()
        try:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                raise TimeoutError from error
            found = str(error)
        finally:
            done.set()
            alarm.join()
    return None if found == "ok" else " ".join(str(found).split())
