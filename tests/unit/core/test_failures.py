"""Why a message failed: every reason has its code, its meaning and its remedy."""

import pytest

from perene.core.account_codes import LIMIT_MEANINGS
from perene.core.failures import EXPLANATIONS, Failure, FailureCode


@pytest.mark.requirement("F10")
@pytest.mark.parametrize(
    ("server_code", "code"),
    [
        ("463", FailureCode.TIME_LOCKED),
        ("475", FailureCode.NEW_CHAT_CAP),
        ("479", FailureCode.STALE_DEVICES),
        ("421", FailureCode.STALE_GROUP),
        ("400", FailureCode.REFUSED),
        ("", FailureCode.REFUSED),
        ("a word", FailureCode.REFUSED),
    ],
)
def test_a_refusal_of_the_server_has_one_code_and_keeps_the_servers(
    server_code: str, code: FailureCode
) -> None:
    failure = Failure.of_refusal(server_code)
    assert (failure.code, failure.server_code) == (code, server_code)
    assert failure.to_json() == {"code": code.value, "server_code": server_code}


def test_every_code_of_the_server_that_has_a_meaning_has_a_code_of_its_own() -> None:
    codes = {Failure.of_refusal(server_code).code for server_code in LIMIT_MEANINGS}
    assert len(codes) == len(LIMIT_MEANINGS)
    assert FailureCode.REFUSED not in codes


@pytest.mark.parametrize("code", FailureCode)
def test_every_code_says_what_it_means_and_what_to_do(code: FailureCode) -> None:
    explained = EXPLANATIONS[code]
    assert explained.meaning.endswith(".")
    assert explained.remedy.endswith(".")


@pytest.mark.parametrize("code", FailureCode)
@pytest.mark.parametrize("server_code", [None, "463"])
def test_what_was_stored_comes_back(code: FailureCode, server_code: str | None) -> None:
    failure = Failure(code=code, server_code=server_code)
    assert Failure.stored(code.value, server_code) == failure


@pytest.mark.parametrize("code", [None, "", "a code of a later version"])
def test_what_is_no_code_is_no_failure(code: str | None) -> None:
    assert Failure.stored(code, "463") is None
