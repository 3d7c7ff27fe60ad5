"""A mailbox keeps each stanza until it is answered, and gives it out in order."""

from collections import Counter

from perene.sim.mailbox import BATCH, PRIMER, Held, Mailbox
from perene.wire.node import Node


class Recorder:
    """An outlet that writes down what it gets."""

    def __init__(self) -> None:
        self.got: list[tuple[str, bool]] = []
        self.preview: Counter[str] | None = None
        self.done: int | None = None

    def deliver(self, held: Held, *, offline: bool) -> None:
        held.deliveries += 1
        self.got.append((held.stanza.attr("id"), offline))

    def offline_preview(self, counts: Counter[str]) -> None:
        self.preview = counts

    def offline_done(self, count: int) -> None:
        self.done = count


def fill(mailbox: Mailbox, *ids: str) -> list[Held]:
    held = [Held(stanza=Node("message", {"id": i, "from": "1@lid"})) for i in ids]
    for one in held:
        mailbox.put(one)
    return held


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def test_what_came_while_the_device_was_away_comes_in_order_as_offline() -> None:
    mailbox, outlet = Mailbox(), Recorder()
    fill(mailbox, "a", "b", "c")
    mailbox.open(outlet)
    assert outlet.got == [("a", True), ("b", True), ("c", True)]
    assert outlet.preview == {"message": 3}
    assert outlet.done == 3


def test_the_end_of_the_queue_is_told_even_when_it_is_empty() -> None:
    mailbox, outlet = Mailbox(), Recorder()
    mailbox.open(outlet)
    assert outlet.preview is None
    assert outlet.done == 0


def test_only_a_primer_comes_before_the_client_pulls() -> None:
    mailbox, outlet = Mailbox(), Recorder()
    fill(mailbox, *numbers(PRIMER + 10))
    mailbox.open(outlet)
    assert len(outlet.got) == PRIMER
    assert outlet.done is None
    mailbox.pull(7)
    assert len(outlet.got) == PRIMER + 7
    mailbox.pull(200)
    assert outlet.done == PRIMER + 10


def test_a_client_that_pulls_nothing_gets_more_when_it_has_answered_everything() -> None:
    mailbox, outlet = Mailbox(), Recorder()
    held = fill(mailbox, *numbers(PRIMER + BATCH + 1))
    mailbox.open(outlet)
    for one in held[: PRIMER - 1]:
        mailbox.settle(one, "ack")
    assert len(outlet.got) == PRIMER
    mailbox.settle(held[PRIMER - 1], "ack")
    assert len(outlet.got) == PRIMER + BATCH
    for one in held[PRIMER : PRIMER + BATCH]:
        mailbox.settle(one, "ack")
    assert outlet.done == PRIMER + BATCH + 1


def test_what_arrives_during_the_drain_comes_after_the_queue() -> None:
    mailbox, outlet = Mailbox(), Recorder()
    fill(mailbox, *numbers(PRIMER + 1))
    mailbox.open(outlet)
    fill(mailbox, "live")
    assert ("live", False) not in outlet.got
    mailbox.pull(10)
    assert outlet.got[-1] == ("live", True)


def test_an_unanswered_stanza_comes_again_after_a_reconnect_and_an_answered_one_does_not() -> None:
    mailbox, first, second = Mailbox(), Recorder(), Recorder()
    mailbox.open(first)
    kept, gone = fill(mailbox, "kept", "gone")
    mailbox.settle(gone, "receipt")
    mailbox.close(first)
    mailbox.open(second)
    assert first.got == [("kept", False), ("gone", False)]
    assert second.got == [("kept", True)]
    assert kept.deliveries == 2


def test_closing_an_outlet_that_was_replaced_changes_nothing() -> None:
    mailbox, first, second = Mailbox(), Recorder(), Recorder()
    mailbox.open(first)
    mailbox.open(second)
    mailbox.close(first)
    fill(mailbox, "a")
    assert second.got == [("a", False)]


def test_of_several_stanzas_with_one_id_the_fitting_one_is_found() -> None:
    mailbox = Mailbox()
    first = Held(stanza=Node("message", {"id": "x", "from": "1@lid"}))
    second = Held(stanza=Node("message", {"id": "x", "from": "2@lid"}))
    mailbox.put(first)
    mailbox.put(second)
    assert mailbox.find("message", "x", lambda h: h.stanza.attr("from") == "2@lid") is second
    assert mailbox.find("receipt", "x", lambda _: True) is None
