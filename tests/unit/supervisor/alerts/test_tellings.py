"""Who is told of an alert, how often, and what happens when telling fails."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from structlog.testing import capture_logs

from perene.core.alerts import SERVICE, Alert
from perene.supervisor.alerts.tellings import NotTold
from tests.unit.supervisor.alerts.desk import (
    Desk,
    Receiver,
)


async def test_an_alert_is_told_once_when_it_fires_and_once_when_it_resolves(
    desk: Desk, pager: Receiver
):
    for heat in (5, 11, 12, 13, 5, 5):
        await desk.look(one=heat)
    assert pager.told == [(["one"], True), (["one"], False)]
    assert pager.remedies == ["Cool it.", "Cool it."]


async def test_with_what_fired_is_told_why_and_not_with_what_is_over(desk: Desk, pager: Receiver):
    desk.reasons = {"one": "It burns.", "two": ""}
    for heat in (11, 12, 5, 5):
        await desk.look(one=heat, two=heat, service=heat)
    fired = [reasons for reasons in pager.reasons if reasons]
    assert fired == [{"one": "It burns."}]


async def test_alerts_of_one_rule_go_out_in_one_message(desk: Desk, pager: Receiver):
    await desk.look(one=11, two=11, three=5, service=11)
    assert sorted(pager.told) == [([SERVICE], True), (["one", "two"], True)]


async def test_every_receiver_is_told_and_one_that_fails_keeps_none_from_it():
    broken, works = Receiver("broken"), Receiver("works")
    desk = Desk(broken, works)
    broken.failing = NotTold("no route")
    await desk.look(one=11)
    assert works.told == [(["one"], True)]
    broken.failing = None
    await desk.look(one=11)
    assert broken.told == [(["one"], True)]
    assert works.told == [(["one"], True)], "who was told is not told again"
    (alert,) = await desk.alerts()
    assert sorted((one.ok, one.detail) for one in alert.notified) == [
        (False, "broken: no route"),
        (True, "broken"),
        (True, "works"),
    ]


@pytest.mark.parametrize(
    ("error", "detail"),
    [(ValueError("json://secret@host"), "failed"), (TimeoutError(), "timed out")],
)
async def test_a_receiver_that_raises_anything_is_tried_again_and_named_without_its_words(
    desk: Desk, pager: Receiver, error: Exception, detail: str
):
    pager.failing = error
    await desk.look(one=11)
    (alert,) = await desk.alerts()
    assert [one.detail for one in alert.notified] == [f"pager: {detail}"]
    pager.failing = None
    await desk.look(one=11)
    assert pager.told == [(["one"], True)]


async def test_a_receiver_that_fails_is_tried_again_ever_more_seldom(desk: Desk, pager: Receiver):
    pager.failing = NotTold("down")
    tried_at_s: list[int] = []
    with capture_logs() as lines:
        for look in range(360):  # an hour
            before = pager.tries
            await desk.look(one=11)
            tried_at_s += [look * 10] * (pager.tries - before)
    assert tried_at_s == [0, 10, 40, 100, 400, 1300, 2200, 3100]
    failures = [line for line in lines if line["event"] == "alert_not_told"]
    assert [(line["receiver"], line["reason"]) for line in failures] == [("pager", "down")] * 8
    (alert,) = await desk.alerts()
    assert len(alert.notified) == pager.tries


async def test_a_receiver_that_never_works_is_given_up(desk: Desk, pager: Receiver):
    pager.failing = NotTold("down")
    for _ in range(110):
        await desk.look(900, one=11)
    assert pager.tries == 100
    (alert,) = await desk.alerts()
    assert len(alert.notified) == 20


async def test_many_alerts_at_once_are_all_told_and_only_those_in_vain_are_given_up_at_last():
    broken, works = Receiver("broken"), Receiver("works")
    broken.failing = NotTold("down")
    desk = Desk(broken, works)
    many = {f"s{number}": 11.0 for number in range(6000)}
    await desk.look(**many)
    assert [len(subjects) for subjects, _ in works.told] == [6000]
    assert "not delivered yet: 5000" in (desk.alerting.health().detail or "")
    broken.failing = None
    await desk.look(**many)
    assert [len(subjects) for subjects, _ in broken.told] == [5000]


async def test_what_resolved_before_it_could_be_told_is_told_as_resolved_only(
    desk: Desk, pager: Receiver
):
    pager.failing = NotTold("down")
    await desk.look(one=11)
    await desk.look(one=5)
    pager.failing = None
    for _ in range(3):
        await desk.look(30, one=5)
    assert pager.told == [(["one"], False)]


async def test_a_receiver_gets_one_message_after_the_other_and_none_after_one_that_failed(
    desk: Desk, pager: Receiver, monkeypatch: pytest.MonkeyPatch
):
    tell, busy = pager.tell, list[bool]()

    async def slowly(alerts: Sequence[Alert], *, remedy: str, reasons: Mapping[str, str]) -> None:
        busy.append(True)
        assert len(busy) == 1
        for _ in range(5):
            await asyncio.sleep(0)
        busy.pop()
        await tell(alerts, remedy=remedy, reasons=reasons)

    monkeypatch.setattr(pager, "tell", slowly)
    await desk.look(one=11, service=11)
    assert len(pager.told) == 2
    pager.failing = NotTold("down")
    await desk.look(one=5, service=5)
    assert pager.tries == 3
    pager.failing = None
    await desk.look(one=5, service=5)
    assert sorted(pager.told[2:]) == [([SERVICE], False), (["one"], False)]


async def test_a_receiver_that_was_not_told_before_a_restart_is_told_after_it():
    broken, works = Receiver("broken"), Receiver("works")
    desk = Desk(broken, works)
    broken.failing = NotTold("no route")
    for _ in range(120):
        await desk.look(900, one=11)
    (stored,) = desk.shelf.alerts.values()
    assert len(stored.notified) == 20
    later = Desk(Receiver("broken"), Receiver("works"), shelf=desk.shelf)
    await later.look(one=11)
    assert later.receivers[0].told == [(["one"], True)]
    assert later.receivers[1].told == [], "who was told is not told again"


async def test_what_is_told_is_stored_though_another_receiver_hangs(
    monkeypatch: pytest.MonkeyPatch,
):
    works, hangs = Receiver("works"), Receiver("hangs")
    hanging = asyncio.Event()

    async def hang(alerts: Sequence[Alert], *, remedy: str, reasons: Mapping[str, str]) -> None:
        hanging.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(hangs, "tell", hang)
    desk = Desk(works, hangs)
    look = asyncio.create_task(desk.look(one=11))
    await hanging.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    assert works.told == [(["one"], True)]
    look.cancel()
    await asyncio.wait([look])
    assert [alert.subject for alert in desk.shelf.alerts.values()] == ["one"]
    await desk.alerting.save()
    later = Desk(Receiver("works"), Receiver("hangs"), shelf=desk.shelf)
    await later.look(one=11)
    assert [one.told for one in later.receivers] == [[], [(["one"], True)]]
