"""The root of Perene's errors, and what each family asks of the caller."""

from typing import ClassVar


class PereneError(Exception):
    """Something went wrong that a caller can react to.

    `code` is stable and part of the public interface; `remedy` is one sentence that says what the
    reader can do. The message says what happened, without secrets, bodies or whole phone numbers.
    """

    code: ClassVar[str] = "internal"
    remedy: ClassVar[str] = "This is a bug in Perene: report it with the log around this line."


def sentence(told: object) -> str:
    """Return what an error says, so that it begins and ends as a sentence does."""
    text = str(told)
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


class RefusedToStart(PereneError):
    """The service cannot start safely; nothing was changed."""

    code = "refused_to_start"
    remedy = "Follow the sentence above and start again."


class NotFound(PereneError):
    """What was asked for does not exist."""

    code = "not_found"
    remedy = "Check the id; list what exists first."


class Conflict(PereneError):
    """The request contradicts the present state."""

    code = "conflict"
    remedy = "Read the present state and decide again."


class IdempotencyConflict(Conflict):
    """An `Idempotency-Key` was used before, with another request."""

    code = "idempotency_conflict"
    remedy = "Use a new key for a new message; repeat a request unchanged under its old key."


class InvalidRequest(PereneError):
    """The request itself is wrong; `field` names the part."""

    code = "invalid_request"
    remedy = "Mend the named field and send the request again."

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class StorageError(PereneError):
    """The database did not do what it was asked to."""

    code = "storage"
    remedy = "Check that the database is reachable and has room; nothing unsaved was acknowledged."


class StaleEpoch(StorageError):
    """Another owner has taken the session; this one may not write any more."""

    code = "stale_epoch"
    remedy = "Another process runs this session: stop one of the two."


class StorageUnavailable(StorageError):
    """The database cannot be reached or written at this moment; trying again may help."""

    code = "storage_unavailable"
    remedy = (
        "Repeat it in a few seconds, a message to send under its Idempotency-Key: it may have been"
        " taken. If it goes on, check that the database runs, answers, and has room."
    )


class ForgottenEpoch(StorageUnavailable):
    """The database is an older state of itself, or a backup is just being restored into it.

    It no longer knows that this owner took a session, or no longer the session, or not all that was
    committed to it. Whoever holds the database takes the session again; until then nothing of it
    can be written.
    """

    code = "forgotten_epoch"
    remedy = (
        "The session is taken again by itself. What the database lost, by a fail-over to a server"
        " that lagged behind or by the restore of a backup, stays lost."
    )


class DatabaseTaken(PereneError):
    """Another service took the database while this one had lost its hold on it."""

    code = "database_taken"
    remedy = "Keep one of the two services, or give each a database of its own."


class ServiceFailed(PereneError):
    """A part of the service ended by itself, and the service with it."""

    code = "service_failed"
    remedy = (
        "Start it again: nothing is lost. If it ends so once more, report it with the log around"
        " service_failed."
    )


class UnreadableState(StorageError):
    """Stored state exists but cannot be read. It is never treated as absent."""

    code = "unreadable_state"
    remedy = "Check the master key and the Perene version; restore a backup if the data is damaged."
