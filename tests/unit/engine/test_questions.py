"""An answer is the last word unless something was heard, or asked again, since it was asked for."""

import pytest

from perene.engine.questions import Questions


def test_an_answer_is_the_last_word() -> None:
    questions = Questions()
    with questions.asking(["ana", "bia"]) as is_last_word:
        assert [is_last_word(name) for name in ("ana", "bia", "caio")] == [True, True, False]
    assert not is_last_word("ana"), "it has been given"


def test_what_is_forgotten_meanwhile_is_asked_again_next_time() -> None:
    questions = Questions()
    with questions.asking(["ana", "bia"]) as is_last_word:
        questions.forget("ana")
        questions.forget("caio")
        assert [is_last_word(name) for name in ("ana", "bia")] == [False, True]
    with questions.asking(["ana", "bia"]) as is_last_word:
        questions.forget_all()
        assert not any(is_last_word(name) for name in ("ana", "bia"))


@pytest.mark.parametrize("first_ends", [True, False])
def test_of_two_who_ask_for_the_same_the_later_is_the_last_word(first_ends: bool) -> None:
    """Whatever was forgotten between them, and whichever is answered first."""
    questions = Questions()
    first, second = questions.asking(["ana", "bia"]), questions.asking(["ana"])
    is_firsts = first.__enter__()
    questions.forget("ana")
    is_seconds = second.__enter__()
    assert (is_firsts("ana"), is_firsts("bia"), is_seconds("ana")) == (False, True, True)
    (first if first_ends else second).__exit__(None, None, None)
    assert is_firsts("ana") is False
    assert is_seconds("ana") is first_ends
    assert is_firsts("bia") is not first_ends


def test_a_question_that_fails_is_none_any_more() -> None:
    questions = Questions()
    with pytest.raises(TimeoutError), questions.asking(["ana"]) as is_last_word:
        raise TimeoutError
    assert not is_last_word("ana")
