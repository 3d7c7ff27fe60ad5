"""A test of the receivers: real messages to servers on this machine."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from perene.core.clock import SystemClock
from perene.delivery.addresses import Address
from perene.delivery.alerts import AppriseNotifier, notifiers_for
from perene.delivery.trial import Trial
from perene.process.threads import Threads
from perene.supervisor.ports import AlertTestUnderWay
from tests.support.receiver import Receiver


@pytest.fixture
def receivers() -> Iterator[tuple[Receiver, Receiver]]:
    first, second = Receiver(), Receiver()
    yield first, second
    first.close()
    second.close()


def trial_of(*receivers: Receiver) -> Trial:
    urls = " ".join(one.url for one in receivers)
    notifiers = notifiers_for(urls, lambda: Threads(1, "trial"))
    return Trial(notifiers, SystemClock(), host="box.example")


async def test_each_receiver_gets_a_message_that_says_that_it_is_a_test(
    receivers: tuple[Receiver, Receiver],
) -> None:
    found = await trial_of(*receivers).run()
    assert [(one.receiver, one.failure) for one in found] == [
        ("address 1", None),
        ("address 2", None),
    ]
    for receiver, tried in zip(receivers, found, strict=True):
        assert tried.address == f"JSON json://127.0.0.1:{receiver.port}/…"
        (posted,) = receiver.posted
        assert posted["title"] == "Test: nothing is wrong with Perene"
        assert posted["type"] == "info"
        assert "on box.example at " in posted["message"]
        assert posted["message"].endswith("There is nothing to do.")


async def test_a_receiver_that_fails_is_told_of_with_the_reason_and_keeps_no_other(
    receivers: tuple[Receiver, Receiver],
) -> None:
    receivers[0].status = 403
    first, second = await trial_of(*receivers).run()
    assert (first.failure, second.failure) == ("its host answered HTTP 403", None)
    assert len(receivers[1].posted) == 1
    for secret in ("hidden", "hook"):
        assert secret not in repr(first)


class Hanging:
    """A service that answers when it is let go."""

    def __init__(self) -> None:
        self.asked, self.let_go = threading.Event(), threading.Event()
        self.messages = 0

    def notify(
        self, *, body: str, title: str, notify_type: str, body_format: str, log_level: int
    ) -> object:
        self.messages += 1
        self.asked.set()
        return self.let_go.wait(30)


def hanging_trial(service: Hanging, *, timeout_s: float) -> Trial:
    address = Address(place=1, shown="a service", service=service)
    notifier = AppriseNotifier(address, thread=Threads(1, "trial"), timeout_s=timeout_s)
    return Trial([notifier], SystemClock(), host="box")


async def test_there_is_one_test_at_a_time_however_many_ask() -> None:
    service = Hanging()
    trial = hanging_trial(service, timeout_s=30)
    first = asyncio.create_task(trial.run())
    await asyncio.to_thread(service.asked.wait, 30)
    for _ in range(20):
        with pytest.raises(AlertTestUnderWay):
            await trial.run()
    service.let_go.set()
    (tried,) = await first
    assert (tried.failure, service.messages) == (None, 1)
    assert len(await trial.run()) == 1


async def test_a_receiver_that_hangs_is_sent_no_heap_of_tests_when_it_comes_back() -> None:
    service = Hanging()
    trial = hanging_trial(service, timeout_s=0.05)
    for _ in range(3):
        (tried,) = await trial.run()
        assert tried.failure == "no answer within 0.05 s"
    service.let_go.set()
    while (await trial.run())[0].failure is not None:
        pass
    assert service.messages == 2, "the first, and the one that found it back"


async def test_who_goes_away_leaves_no_test_under_way() -> None:
    service = Hanging()
    trial = hanging_trial(service, timeout_s=30)
    asking = asyncio.create_task(trial.run())
    await asyncio.to_thread(service.asked.wait, 30)
    asking.cancel()
    await asyncio.wait([asking])
    service.let_go.set()
    assert len(await trial.run()) == 1
