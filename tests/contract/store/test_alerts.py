"""Alerts and client versions: kept for the next run."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from perene.core.alerts import SERVICE, Alert, Notification, Severity
from perene.core.ids import SessionId
from perene.store.store import Store
from tests.support.units import ANA, START

BOB = SessionId("bob")

pytestmark = pytest.mark.usefixtures("ana")


def alert(id_: str, *, subject: str = ANA, minutes: int = 0) -> Alert:
    return Alert(
        id=id_,
        rule="session_down",
        subject=subject,
        severity=Severity.CRITICAL,
        sentence="Down for 5 minutes \N{GRINNING FACE}.",
        value=0.1,
        began_at=START,
        fired_at=START + timedelta(minutes=minutes),
    )


def resolved(one: Alert, *, hours: int = 1) -> Alert:
    return replace(one, resolved_at=START + timedelta(hours=hours))


async def ids(store: Store, *, open_only: bool = False, subject: str | None = None) -> list[str]:
    return [one.id for one in await store.list_alerts(open_only=open_only, subject=subject)]


async def test_an_alert_is_kept_with_whom_it_was_told(
    store: Store, open_store: Callable[[], Store]
) -> None:
    one = alert("a")
    assert await store.save_alerts([one])
    assert await open_store().open_alerts() == [one]
    told = replace(
        resolved(one),
        value=None,
        notified=(
            Notification(at=START, ok=False, detail="no answer \ud83d\0"),
            Notification(at=START + timedelta(seconds=1), ok=True),
        ),
    )
    assert await store.save_alerts([told])
    assert await open_store().list_alerts() == [told]
    assert await store.open_alerts() == []


async def test_alerts_are_listed_by_subject_and_state(store: Store) -> None:
    await store.create_session(BOB)
    for one in (
        alert("first", minutes=1),
        resolved(alert("second", minutes=2)),
        alert("third", subject=BOB, minutes=3),
        alert("fourth", subject=SERVICE, minutes=4),
    ):
        await store.save_alerts([one])
    assert await ids(store) == ["fourth", "third", "second", "first"]
    assert await ids(store, subject=ANA) == ["second", "first"]
    assert await ids(store, subject=SERVICE) == ["fourth"]
    assert await ids(store, subject=ANA, open_only=True) == ["first"]
    assert [one.id for one in await store.list_alerts(limit=2)] == ["fourth", "third"]
    assert [one.id for one in await store.open_alerts()] == ["first", "third", "fourth"]
    for minutes, found in ((60, "first second third fourth"), (61, "first third fourth")):
        since = START + timedelta(minutes=minutes)
        wanted = await store.open_alerts(or_resolved_since=since)
        assert [one.id for one in wanted] == found.split()


async def test_many_alerts_are_stored_together_but_none_of_a_session_that_is_gone(
    store: Store,
) -> None:
    many = [alert(f"{number:03}", minutes=number) for number in range(120)]
    of_nobody = alert("nobody's", subject=BOB)
    told = [replace(resolved(many[0]), value=None), replace(many[1], value=7), *many[2:]]
    for found in ([*many, of_nobody], told):
        assert await store.save_alerts(found) == 120
    assert await store.list_alerts(limit=200) == told[::-1]
    assert await store.save_alerts([of_nobody]) == 0


async def test_the_alerts_of_a_session_go_with_it(store: Store) -> None:
    await store.create_session(BOB)
    for subject in (ANA, BOB, SERVICE):
        await store.save_alerts([alert(f"of {subject}", subject=subject)])
    await store.save_alert_conditions({("rule", subject): START for subject in (ANA, BOB)})
    await store.delete_session(ANA)
    assert await store.alert_conditions() == {("rule", BOB): START}
    assert not await store.save_alerts([resolved(alert(f"of {ANA}"))])
    assert sorted(await ids(store)) == ["of ", "of bob"]


async def test_alerts_that_were_resolved_long_ago_are_purged(store: Store) -> None:
    for one in (alert("open"), resolved(alert("old")), resolved(alert("new"), hours=48)):
        await store.save_alerts([one])
    assert await store.purge(alerts_before=START + timedelta(days=1)) == 1
    assert sorted(await ids(store)) == ["new", "open"]


async def test_conditions_are_kept_as_they_were_saved_last(
    store: Store, open_store: Callable[[], Store]
) -> None:
    many = {("rule", f"s{number}"): START + timedelta(seconds=number) for number in range(120)}
    for saved in (many, {("rule", SERVICE): START, ("other", ANA): START}, {}):
        await store.save_alert_conditions(saved)
        assert await open_store().alert_conditions() == saved


async def test_the_last_version_of_each_endpoint_is_remembered(
    store: Store, open_store: Callable[[], Store]
) -> None:
    later = START + timedelta(days=1)
    assert await store.client_version("wss://one") is None
    await store.save_client_version("wss://one", "2.3000.1", START)
    await store.save_client_version("wss://two", "2.3000.2", START)
    await store.save_client_version("wss://one", "2.3000.3", later)
    other = open_store()
    assert await other.client_version("wss://one") == ("2.3000.3", later)
    assert await other.client_version("wss://two") == ("2.3000.2", START)
