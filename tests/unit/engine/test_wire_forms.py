"""The form in which people are addressed: the other one after a refusal, and no third time."""

import pytest

from perene.core.ids import MessageId
from perene.core.unit import AddressPair
from perene.engine.addresses import AddressBook
from perene.engine.wire_forms import WireForms
from perene.wire.jid import Jid
from tests.unit.engine.desk import ANA, ANA_PN, GROUP
from tests.unit.engine.fakes import MemoryStore

ONE, TWO = MessageId("M1"), MessageId("M2")
LID, NUMBER = Jid.parse(ANA), Jid.parse(ANA_PN)


@pytest.fixture
def book() -> AddressBook:
    book = AddressBook(MemoryStore())
    book.learn([AddressPair(pn=ANA_PN, lid=ANA)])
    return book


@pytest.mark.parametrize("person", [LID, NUMBER, NUMBER.with_device(4)])
def test_a_person_is_written_to_by_lid(book: AddressBook, person: Jid) -> None:
    assert WireForms().address(book, person) == LID


def test_a_refused_message_goes_in_the_other_form_and_so_does_what_follows(
    book: AddressBook,
) -> None:
    forms = WireForms()
    for one in (ONE, TWO):
        forms.sent(one, LID, book)
    assert forms.refused(ONE)
    assert forms.address(book, LID) == NUMBER
    assert forms.refused(TWO), "it left before the form was known"
    assert forms.address(book, LID) == NUMBER


def test_a_message_that_is_refused_in_both_forms_is_refused(book: AddressBook) -> None:
    forms = WireForms()
    forms.sent(ONE, LID, book)
    forms.refused(ONE)
    forms.sent(ONE, NUMBER, book)
    assert not forms.refused(ONE)
    assert forms.address(book, LID) == LID, "it was not for the form"
    forms.sent(ONE, LID, book)
    assert forms.refused(ONE), "and each message begins anew"


def test_a_message_that_was_taken_is_refused_no_more(book: AddressBook) -> None:
    """A resend of it goes to where it was asked for, and nobody else."""
    forms = WireForms()
    forms.sent(ONE, LID, book)
    forms.accepted(ONE)
    assert not forms.refused(ONE)
    assert forms.address(book, LID) == LID


def test_a_form_is_sure_once_a_message_was_taken_in_it(book: AddressBook) -> None:
    forms = WireForms()
    forms.accepted(ONE)  # which went to a group
    assert not forms.is_sure
    forms.sent(ONE, LID, book)
    forms.accepted(ONE)
    assert forms.is_sure
    forms.sent(TWO, LID, book)
    forms.refused(TWO)
    assert not forms.is_sure


def test_what_left_before_a_refusal_says_nothing_of_the_form_after_it(book: AddressBook) -> None:
    forms = WireForms()
    for one in (ONE, TWO):
        forms.sent(one, LID, book)
    forms.refused(ONE)
    forms.accepted(TWO)
    assert (forms.is_sure, forms.take_learned()) == (False, None)
    forms.sent(ONE, NUMBER, book)
    forms.accepted(ONE)
    assert (forms.is_sure, forms.take_learned()) == (True, True)


@pytest.mark.parametrize("to", [LID, NUMBER])
def test_who_has_one_address_is_written_to_under_that(to: Jid) -> None:
    forms, book = WireForms(), AddressBook(MemoryStore())
    assert forms.address(book, to) == to
    forms.sent(ONE, to, book)
    assert not forms.refused(ONE)
    assert forms.address(book, to) == to


def test_what_was_learned_is_told_once(book: AddressBook) -> None:
    forms = WireForms()
    assert forms.take_learned() is None
    forms.sent(ONE, LID, book)
    forms.refused(ONE)
    assert forms.take_learned() is None, "the refusal may have been for something else"
    forms.sent(ONE, NUMBER, book)
    forms.accepted(ONE)
    assert forms.take_learned() is True
    assert forms.take_learned() is None


def test_who_begins_by_number_may_learn_that_it_is_by_lid(book: AddressBook) -> None:
    forms = WireForms(by_number=True)
    assert forms.address(book, LID) == NUMBER
    forms.sent(ONE, NUMBER, book)
    forms.refused(ONE)
    assert forms.address(book, LID) == LID
    forms.sent(ONE, LID, book)
    forms.accepted(ONE)
    assert forms.take_learned() is False


def test_a_group_is_made_ready_anew_once_for_each_message_and_one_after_the_other() -> None:
    forms, group = WireForms(), Jid.parse(GROUP)
    forms.is_sure = True
    assert forms.is_settled
    assert forms.group_refused(ONE, GROUP)
    assert forms.group_refused(TWO, GROUP)
    assert (forms.is_settled, forms.may_be_refused(group)) == (False, True)
    assert not forms.may_be_refused(LID)
    assert not forms.group_refused(ONE, GROUP)
    assert forms.may_be_refused(group)
    forms.accepted(TWO)
    forms.group_taken(GROUP)
    assert (forms.is_settled, forms.may_be_refused(group)) == (True, False)
    assert forms.group_refused(TWO, GROUP), "it was taken in between"
