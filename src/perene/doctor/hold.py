"""Who holds the database, and whether a service could start here."""

from perene.core.errors import PereneError
from perene.doctor.finding import Finding, Level, ok, refusal, warn
from perene.process.data_directory import is_held
from perene.settings import Settings
from perene.store.errors import PooledByTransaction
from perene.store.instance_lock import find_holder

_NAME = "database hold"


def check_hold(settings: Settings) -> Finding:
    """Look which service holds the database. Blocking, up to some seconds."""
    try:
        holder = find_holder(settings.database)
        here = is_held(settings.data_dir)
    except PooledByTransaction as error:
        return refusal(_NAME, error)
    except PereneError as error:
        return refusal(_NAME, error, level=Level.WARN)
    except OSError as error:
        sentence = f"Who holds the database cannot be told ({error.strerror})."
        return warn(_NAME, sentence, "Run this as the user that runs Perene.")
    match holder, here:
        case None, False:
            return ok(_NAME, "No service holds the database.")
        case None, True:
            return warn(
                _NAME,
                "A service runs on this data directory, and does not hold this database.",
                "Give this command the service's variables. If it has them, look for"
                " database_hold_lost in the service's log.",
            )
        case _, True:
            return ok(_NAME, f"The database is held by {holder}.")
        case _:
            return warn(
                _NAME,
                f"The database is held by {holder}; a service with this data directory cannot"
                " start.",
                "Stop that service first, or give this one a database of its own.",
            )
