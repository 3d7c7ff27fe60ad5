"""Every error tells a program its code, and a person what to do."""

import importlib
import inspect
import pkgutil
import re

import pytest

import perene
from perene.core.errors import Conflict, InvalidRequest, PereneError, StorageError


def _all_errors() -> list[type[PereneError]]:
    """Import every module of ours, and collect the errors that they add."""
    for module in pkgutil.walk_packages(perene.__path__, "perene."):
        if not module.name.endswith("__main__") and ".migrations" not in module.name:
            importlib.import_module(module.name)
    found: dict[str, type[PereneError]] = {}

    def collect(error: type[PereneError]) -> None:
        for child in error.__subclasses__():
            if child.__module__.startswith("perene."):
                found[f"{child.__module__}.{child.__qualname__}"] = child
            collect(child)

    collect(PereneError)
    # One with a private name never leaves its module, so nobody reads its code.
    return [found[name] for name in sorted(found) if not found[name].__name__.startswith("_")]


ERRORS = _all_errors()
LEAVES = [error for error in ERRORS if not set(error.__subclasses__()) & set(ERRORS)]

# Part of the public interface: programs compare with them. A code may be added, never changed.
CODES = {
    "NotFound": "not_found",
    "Conflict": "conflict",
    "IdempotencyConflict": "idempotency_conflict",
    "InvalidRequest": "invalid_request",
    "StorageError": "storage",
    "StaleEpoch": "stale_epoch",
    "StorageUnavailable": "storage_unavailable",
    "UnreadableState": "unreadable_state",
    "RefusedToStart": "refused_to_start",
    "AlreadyExists": "already_exists",
    "AlreadyPaired": "already_paired",
    "NotPaired": "not_paired",
    "NotRunning": "not_running",
    "PairingNotReady": "pairing_not_ready",
    "LaneBroken": "lane_broken",
    "DataDirectoryInUse": "data_directory_in_use",
}


@pytest.mark.parametrize("error", LEAVES, ids=lambda error: error.__name__)
def test_every_leaf_has_a_code_of_its_own(error: type[PereneError]) -> None:
    assert "code" in vars(error)
    assert re.fullmatch(r"[a-z][a-z0-9_]*", error.code)
    sharing = [other.__name__ for other in ERRORS if other.code == error.code]
    assert sharing == [error.__name__]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_every_error_says_in_a_sentence_what_can_be_done(error: type[PereneError]) -> None:
    assert error.remedy.endswith(".")
    assert error.remedy[0].isupper() or error.remedy.startswith("`")


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_every_error_says_what_it_means(error: type[PereneError]) -> None:
    assert inspect.getdoc(error)
    assert "__doc__" in vars(error)


@pytest.mark.parametrize(("name", "code"), CODES.items())
def test_a_published_code_stays_what_it_is(name: str, code: str) -> None:
    assert [error.code for error in ERRORS if error.__name__ == name] == [code]


def test_an_invalid_request_names_the_field() -> None:
    assert InvalidRequest("No.", field="cursor").field == "cursor"
    assert InvalidRequest("No.").field is None


def test_what_the_caller_may_try_again_can_be_told_from_what_he_must_decide_anew() -> None:
    assert not issubclass(StorageError, Conflict)
    assert not issubclass(Conflict, StorageError)
