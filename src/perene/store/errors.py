"""Why the store can refuse to open."""

from perene.core.errors import RefusedToStart


class CannotConnect(RefusedToStart):
    """The database cannot be reached, or its file cannot be opened for writing."""

    code = "cannot_connect"
    remedy = (
        "Check PERENE_DATABASE_URL, that the server runs, the rights on the file, and that its disk"
        " has room."
    )


class DatabaseInUse(RefusedToStart):
    """Another service holds the database, and with it every session's number."""

    code = "database_in_use"
    remedy = (
        "Stop that service, or give this one a database of its own. A host that died is given up"
        " after about 20 s: start again then."
    )


class PooledByTransaction(RefusedToStart):
    """A pooler before the database pools by transaction: nobody can hold a lock of the server."""

    code = "pooled_by_transaction"
    remedy = (
        "Have PERENE_DATABASE_URL name the port of the server itself, or have the pooler pool by"
        " session (PgBouncer: pool_mode = session)."
    )


class UnreadableDatabase(RefusedToStart):
    """The file exists but is no database, is damaged, or lies on a disk that gives errors."""

    code = "unreadable_database"
    remedy = (
        "Look whether its disk gives errors (`dmesg`); if it does not, restore the database from a"
        " backup. The file was left as it is."
    )


class UnsuitableDatabase(RefusedToStart):
    """The server refuses to have Perene's tables there, or has tables of somebody else."""

    code = "unsuitable_database"
    remedy = (
        "Give Perene a database that its user owns and that nobody else uses, as by"
        " CREATE DATABASE perene OWNER its_user; name both in PERENE_DATABASE_URL."
    )


class NewerSchema(RefusedToStart):
    """The database was written by a newer Perene."""

    code = "newer_schema"
    remedy = "Run the version that wrote this database, or a later one."


class BeingMigrated(RefusedToStart):
    """Another process is bringing the database up to date, which has to be waited for."""

    code = "being_migrated"
    remedy = (
        "Wait until its log says `database_migrated`, and try again then. Large databases take"
        " minutes."
    )


class TablesLocked(RefusedToStart):
    """The database has to be brought up to date, and somebody else keeps its tables locked."""

    code = "tables_locked"
    remedy = (
        "Wait until the program that is named has ended, which a backup (pg_dump) does by itself,"
        " and start again. Nothing was changed."
    )


class OlderSchema(RefusedToStart):
    """The database needs a migration, and the caller forbade one."""

    code = "older_schema"
    remedy = "Start `perene serve` once, or open the database with migrations allowed."


class EmptyDatabase(OlderSchema):
    """The database has no tables of Perene's yet, and the caller forbade to make them."""

    code = "empty_database"
    remedy = "Start `perene serve` once: it makes them."


class BadMasterKey(RefusedToStart):
    """The master key is not 32 bytes in hex or base64."""

    code = "bad_master_key"
    remedy = (
        "Restore the key from its backup: no other opens what it sealed. Only a database that"
        " holds nothing yet takes a new one, as `openssl rand -base64 32` prints it."
    )


class WrongMasterKey(RefusedToStart):
    """The master key is not the one that this database was sealed with."""

    code = "wrong_master_key"
    remedy = "Set PERENE_MASTER_KEY, or restore the key file, that belongs to this database."


class MissingMasterKey(RefusedToStart):
    """The database holds sealed data, and there is no key to open it."""

    code = "missing_master_key"
    remedy = "Restore the key file or set PERENE_MASTER_KEY; a new key could open nothing."


class UnusableKeyFile(RefusedToStart):
    """The key file cannot be read, or a new one cannot be written."""

    code = "unusable_key_file"
    remedy = (
        "Run this as the user that the service runs with, and see that this user can read the file"
        " and write in its directory."
    )


class ExposedKeyFile(RefusedToStart):
    """Other users of the machine can read the key file."""

    code = "exposed_key_file"
    remedy = "Run `chmod 600` on the key file, and consider rotating the master key."
