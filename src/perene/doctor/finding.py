"""What a check has found, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum

from perene.core.errors import PereneError, StorageUnavailable, sentence


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    """The service works, or will when it starts; a person should know."""
    FAIL = "fail"
    """The service cannot start, or cannot do its work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check: a sentence, and unless all is well another with the remedy."""

    level: Level
    name: str
    sentence: str
    remedy: str | None = None


def ok(name: str, sentence: str) -> Finding:
    """All is well."""
    return Finding(level=Level.OK, name=name, sentence=sentence)


def warn(name: str, sentence: str, remedy: str) -> Finding:
    """A person should know."""
    return Finding(level=Level.WARN, name=name, sentence=sentence, remedy=remedy)


def fail(name: str, sentence: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(level=Level.FAIL, name=name, sentence=sentence, remedy=remedy)


def counted(number: int, noun: str, verb: str = "", one: str = "") -> str:
    """Return "1 session", "2 sessions"; with `verb` and, for a single one, `one` behind it."""
    word, does = (noun, one) if number == 1 else (f"{noun}s", verb)
    return f"{number} {word} {does}".rstrip()


def refusal(name: str, error: PereneError, *, level: Level = Level.FAIL) -> Finding:
    """Return what an error says, as sentences."""
    remedy = error.remedy
    if isinstance(error, StorageUnavailable):  # its own is for those who sent a request
        remedy = "Check that the database runs, can be reached, and has room."
    told = sentence(str(error) or error.code)
    return Finding(level=level, name=name, sentence=told, remedy=remedy)
