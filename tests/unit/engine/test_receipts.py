"""How far a message of ours has come: what the server and the recipients say of it."""

from typing import cast

import pytest

from perene.core.events import Event, EventType
from perene.core.ids import MessageId
from perene.core.messages import Status
from perene.core.unit import AddressPair, HolderChange
from perene.engine.answers import acknowledge
from perene.engine.device_hashes import DeviceHashes
from perene.engine.devices import Devices
from perene.engine.draft import Draft
from perene.engine.groups import Groups
from perene.engine.reach_out import ReachOut
from perene.engine.receipts import OwnMessages
from perene.engine.wire_forms import WireForms
from perene.wire.jid import Jid
from perene.wire.node import Node
from tests.support.units import event
from tests.unit.engine.desk import ANA, ANA_PN, GROUP, Desk
from tests.unit.engine.fakes import committed, line_on


class Lists:
    """Device lists and groups that are at hand, and what is forgotten of them."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []

    def forget(self, jid: Jid) -> None:
        self.forgotten.append(str(jid))

    def forget_all(self) -> None:
        self.forgotten.append("all")

    async def forget_person(self, _book: object, *people: Jid) -> None:
        self.forgotten += [str(one.bare) for one in people]


class Limits:
    """What a refusal says of the account."""

    def __init__(self) -> None:
        self.refusals: list[tuple[str, str]] = []
        self.told: Event | None = None

    def refused(self, error: str, message_id: MessageId) -> Event | None:
        self.refusals.append((error, message_id))
        return self.told


class Sent:
    """Messages of ours under way."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.desk.store.auto = False
        self.lists, self.limits = Lists(), Limits()
        self.hashes, self.forms = DeviceHashes(), WireForms()
        self.answered: list[str] = []
        self.own = OwnMessages(
            line_on(
                self.desk.stage,
                queries=None,
                clock=self.desk.clock,
                answers=self.desk.answered,  # pyright: ignore[reportArgumentType]  # all that is used of them
            ),
            devices=cast("Devices", self.lists),
            groups=cast("Groups", self.lists),
            hashes=self.hashes,
            forms=self.forms,
            reach_out=cast("ReachOut", self.limits),
            on_answer=self.answered.append,
        )

    def changes(self) -> list[tuple[str, Status]]:
        [(unit, _)] = self.desk.store.pending
        return [(change.id, change.status) for change in unit.status_changes]


@pytest.fixture
def sent() -> Sent:
    return Sent()


def ack(error: str | None = None, by: str = ANA) -> Node:
    refused = {} if error is None else {"error": error}
    return Node("ack", {"class": "message", "id": "M1", "from": by, **refused})


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (None, Status.DELIVERED),
        ("delivery", Status.DELIVERED),
        ("inactive", Status.DELIVERED),
        ("read", Status.READ),
        ("played", Status.PLAYED),
    ],
)
async def test_a_receipt_is_stored_then_acknowledged_and_proves_that_the_server_has_it(
    sent: Sent, kind: str | None, status: Status
) -> None:
    items = (Node("item", {"id": "M2"}), Node("item", {"id": "M1"}), Node("item"))
    attrs = {"id": "M1", "from": ANA, **({"type": kind} if kind else {})}
    receipt = Node("receipt", attrs, (Node("list", {}, items),))
    await sent.own.receipt(receipt)

    assert sent.changes() == [("M1", status), ("M2", status)]
    [(unit, commit)] = sent.desk.store.pending
    told = unit.status_changes[0]
    assert (told.at, told.failure) == (sent.desk.clock.now(), None)
    assert told.event is not None
    assert told.event.type is EventType.MESSAGE_STATUS
    assert told.event.payload == {"message_id": "M1", "status": status.value}
    assert (sent.desk.answered.nodes, sent.desk.answered.waits_for) == (
        [acknowledge(receipt)],
        [commit],
    )
    assert sent.answered == []
    await committed(sent.desk.store)
    assert sent.answered == ["M1", "M2"]


async def test_a_receipt_of_several_members_is_about_the_messages_that_it_names(sent: Sent) -> None:
    """What gathered while the session was away: its own id is that of no message."""
    reader = Node("user", {"jid": ANA, "t": "1767323045"})
    parts = [Node("participants", {"key": id_}, (reader,)) for id_ in ("M1", "M2")]
    receipt = Node("receipt", {"id": "230", "from": GROUP, "type": "read"}, tuple(parts))
    await sent.own.receipt(receipt)
    assert sent.changes() == [("M1", Status.READ), ("M2", Status.READ)]
    assert sent.desk.answered.nodes == [acknowledge(receipt)]


async def test_a_receipt_that_says_nothing_of_a_message_is_acknowledged_only(sent: Sent) -> None:
    receipt = Node("receipt", {"id": "M1", "from": ANA, "type": "server-error"})
    await sent.own.receipt(receipt)
    assert (sent.desk.answered.nodes, sent.desk.store.pending) == ([acknowledge(receipt)], [])


async def test_the_servers_answer_counts_once_it_is_stored(sent: Sent) -> None:
    await sent.own.acknowledged(ack())
    assert sent.changes() == [("M1", Status.SENT)]
    [(unit, _)] = sent.desk.store.pending
    assert unit.status_changes[0].event is not None
    assert unit.status_changes[0].event.type is EventType.MESSAGE_SENT
    assert (sent.desk.answered.nodes, sent.answered, sent.limits.refusals) == ([], [], [])
    await committed(sent.desk.store)
    assert sent.answered == ["M1"]


async def test_a_refusal_is_told_with_its_reason_and_with_what_it_says_of_the_account(
    sent: Sent,
) -> None:
    sent.limits.told = event(EventType.MESSAGE_STATUS)
    await sent.own.acknowledged(ack("463"))
    assert sent.changes() == [("M1", Status.FAILED)]
    [(unit, _)] = sent.desk.store.pending
    [change] = unit.status_changes
    assert change.failure is not None
    assert change.event is not None
    assert change.event.type is EventType.MESSAGE_FAILED
    assert change.event.payload["error"] == "463"
    assert change.event.payload["failure"] == change.failure.to_json()
    assert "meaning" in change.event.payload
    assert unit.events == (sent.limits.told,)
    assert (sent.limits.refusals, sent.lists.forgotten) == ([("463", "M1")], [])
    await committed(sent.desk.store)
    assert sent.answered == ["M1"]


async def test_a_refusal_of_another_kind_says_nothing_of_limits(sent: Sent) -> None:
    await sent.own.acknowledged(ack("400"))
    [(unit, _)] = sent.desk.store.pending
    [change] = unit.status_changes
    assert change.event is not None
    assert "meaning" not in change.event.payload
    assert unit.events == ()


@pytest.mark.parametrize(
    ("error", "by", "forgotten"),
    [
        ("479", ANA, [ANA, "15550000001@s.whatsapp.net"]),
        ("421", GROUP, [GROUP, "all"]),
        ("479", "@@", []),
    ],
)
async def test_after_a_stale_address_the_next_message_asks_anew_whom_it_is_for(
    sent: Sent, error: str, by: str, forgotten: list[str]
) -> None:
    await sent.own.acknowledged(ack(error, by))
    assert sent.lists.forgotten == forgotten
    assert sent.changes() == [("M1", Status.FAILED)]


@pytest.mark.parametrize("theirs", ["2:aaaaaaaa", "2:bbbbbbbb"])
async def test_who_the_server_says_has_more_devices_is_asked_for_with_the_next_message(
    sent: Sent, theirs: str
) -> None:
    sent.hashes.sent(MessageId("M1"), "2:aaaaaaaa")
    answer = ack()
    await sent.own.acknowledged(Node(answer.tag, {**answer.attrs, "phash": theirs}))
    asked_anew = [] if theirs == "2:aaaaaaaa" else [ANA, "15550000001@s.whatsapp.net"]
    assert sent.lists.forgotten == asked_anew
    assert sent.changes() == [("M1", Status.SENT)]


@pytest.mark.parametrize("refused", [True, False])
async def test_who_was_given_our_key_with_a_message_has_it_once_the_server_took_that(
    sent: Sent, refused: bool
) -> None:
    await sent.desk.stage.holders.of(GROUP)
    draft = Draft(sent.desk.stage)
    draft.holders.give(MessageId("M1"), HolderChange(group=GROUP, added=("1.0",)))
    draft.submit()
    sent.desk.store.pending.clear()
    await sent.own.acknowledged(ack("400" if refused else None))
    [(unit, _)] = sent.desk.store.pending
    [change] = unit.holders
    assert (change.group, change.added, change.removed) == (
        (GROUP, (), ("1.0",)) if refused else (GROUP, ("1.0",), ())
    )
    assert await sent.desk.stage.holders.of(GROUP) == (set() if refused else {"1.0"})


async def test_what_is_refused_for_its_form_is_sent_in_the_other_one(sent: Sent) -> None:
    book = sent.desk.stage.book
    book.learn([AddressPair(pn=ANA_PN, lid=ANA)])
    sent.forms.sent(MessageId("M1"), Jid.parse(ANA), book)
    await sent.own.acknowledged(ack("400"))
    assert (sent.answered, sent.desk.store.pending) == (["M1"], []), "it is still queued"

    sent.forms.sent(MessageId("M1"), Jid.parse(ANA_PN), book)
    await sent.own.acknowledged(ack("400"))
    assert sent.changes() == [("M1", Status.FAILED)]
