"""How far a message of ours has come: what the server and the recipients say of it."""

from collections.abc import Iterable
from datetime import timedelta
from typing import cast

import pytest

from perene.core.events import Event, EventType
from perene.core.ids import MessageId
from perene.core.messages import Status
from perene.core.unit import AddressPair, HolderChange
from perene.engine.answers import acknowledge
from perene.engine.credentials import Credentials
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
        self.asked: list[str] = []
        self.learnt: list[AddressPair] = []

    async def of(self, users: Iterable[Jid]) -> None:
        self.asked += [str(user) for user in users]

    def take_learnt(self) -> list[AddressPair]:
        return self.learnt

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
        self.own = self.with_forms(self.forms)

    def with_forms(self, forms: WireForms) -> OwnMessages:
        return OwnMessages(
            line_on(
                self.desk.stage,
                queries=None,
                clock=self.desk.clock,
                answers=self.desk.answered,  # pyright: ignore[reportArgumentType]  # all that is used of them
                later=self.desk.later,
            ),
            devices=cast("Devices", self.lists),
            groups=cast("Groups", self.lists),
            hashes=self.hashes,
            forms=forms,
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


INCAPABLE = Node("error", {"reason": "lid", "type": "feature-incapable"})


@pytest.mark.parametrize(
    "receipt",
    [
        Node("receipt", {"id": "M1", "from": ANA, "type": "server-error"}),
        Node("receipt", {"id": "M1", "from": ANA}, (INCAPABLE,)),
    ],
    ids=["of another kind", "of a device that cannot have it"],
)
async def test_a_receipt_that_says_nothing_of_a_message_is_acknowledged_only(
    sent: Sent, receipt: Node
) -> None:
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
        ("479", GROUP, [GROUP, "all"]),
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


async def test_a_message_for_a_group_that_is_addressed_otherwise_by_now_goes_out_once_more(
    sent: Sent,
) -> None:
    await sent.own.acknowledged(ack("421", GROUP))
    assert (sent.answered, sent.desk.store.pending) == (["M1"], []), "it is still queued"
    assert sent.lists.forgotten == [GROUP, "all"]
    assert sent.forms.may_be_refused(Jid.parse(GROUP))

    await sent.own.acknowledged(ack("421", GROUP))
    assert sent.changes() == [("M1", Status.FAILED)]


async def test_the_form_that_the_server_takes_is_stored_with_what_shows_it(sent: Sent) -> None:
    book = sent.desk.stage.book
    book.learn([AddressPair(pn=ANA_PN, lid=ANA)])
    sent.forms.sent(MessageId("M1"), Jid.parse(ANA), book)
    await sent.own.acknowledged(ack("400"))
    sent.forms.sent(MessageId("M1"), Jid.parse(ANA_PN), book)
    await sent.own.acknowledged(ack())
    await committed(sent.desk.store)
    now = sent.desk.clock.now()
    own = Credentials.parse(sent.desk.store.stored_credentials or b"")
    assert own.writes_by_number(now)
    assert not own.writes_by_number(now + timedelta(days=8)), "by then the LID is tried again"

    sent.forms.sent(MessageId("M2"), Jid.parse(ANA_PN), book)
    await sent.own.acknowledged(ack())
    [(unit, _)] = sent.desk.store.pending
    assert unit.credentials is None, "it is known"


async def test_an_account_that_was_moved_to_lids_is_known_for_it(sent: Sent) -> None:
    book = sent.desk.stage.book
    book.learn([AddressPair(pn=ANA_PN, lid=ANA)])
    sent.desk.stage.credentials = sent.desk.own.changed(
        by_number_since=int(sent.desk.clock.now().timestamp())
    )
    forms = WireForms(by_number=True)
    sent.own = sent.with_forms(forms)
    assert forms.address(book, Jid.parse(ANA)) == Jid.parse(ANA_PN)
    forms.sent(MessageId("M1"), Jid.parse(ANA_PN), book)
    await sent.own.acknowledged(ack("400"))
    forms.sent(MessageId("M1"), Jid.parse(ANA), book)
    await sent.own.acknowledged(ack())
    await committed(sent.desk.store)
    own = Credentials.parse(sent.desk.store.stored_credentials or b"")
    assert own.by_number_since is None


def doubtful(id_: str = "M1") -> Node:
    answer = ack()
    return Node("ack", {**answer.attrs, "id": id_, "refresh_lid": "true"})


async def test_a_lid_that_the_server_doubts_is_asked_for_anew_by_number(sent: Sent) -> None:
    sent.desk.store.auto = True
    new = "200000000000009@lid"
    sent.desk.know(ANA_PN, ANA)
    sent.lists.learnt = [AddressPair(pn=ANA_PN, lid=new)]
    await sent.own.acknowledged(doubtful())
    await sent.own.acknowledged(doubtful("M2"))
    assert len(sent.desk.later.waiting) == 1, "each of a row of messages says so"
    await sent.desk.later.work()
    assert (sent.lists.forgotten, sent.lists.asked) == ([ANA_PN], [ANA_PN])
    assert sent.desk.store.units[-1].address_pairs == (AddressPair(pn=ANA_PN, lid=new),)

    await sent.own.acknowledged(doubtful("M3"))
    assert len(sent.desk.later.waiting) == 1, "and each time anew"


async def test_a_lid_that_the_server_does_not_doubt_is_not_asked_for(sent: Sent) -> None:
    await sent.own.acknowledged(ack())
    assert sent.desk.later.waiting == []


async def test_a_group_whose_message_was_taken_after_all_keeps_nothing_waiting(sent: Sent) -> None:
    await sent.own.acknowledged(ack("421", GROUP))
    await sent.own.acknowledged(ack(by=GROUP))
    assert not sent.forms.may_be_refused(Jid.parse(GROUP))


async def test_a_doubt_is_followed_once_there_is_room_for_it(sent: Sent) -> None:
    sent.desk.later.full = True
    await sent.own.acknowledged(doubtful())
    sent.desk.later.full = False
    await sent.own.acknowledged(doubtful())
    assert len(sent.desk.later.waiting) == 1


@pytest.mark.parametrize("by", [ANA, "@@"])
async def test_of_who_has_no_number_nothing_is_asked(sent: Sent, by: str) -> None:
    answer = doubtful()
    await sent.own.acknowledged(Node("ack", {**answer.attrs, "from": by}))
    await sent.desk.later.work()
    assert sent.lists.asked == []
