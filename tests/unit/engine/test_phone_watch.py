"""What a companion sees of its phone, and what only looks like it."""

from datetime import datetime, timedelta

import pytest

from perene.core.notices import Notice, PhoneSeen
from perene.engine.credentials import Credentials
from perene.engine.phone_watch import AT_MOST_EVERY, PhoneWatch
from perene.wire.node import Node
from tests.support.virtual_clock import START, VirtualClock
from tests.unit.engine.fakes import MemoryStore, line_on, paired, stage_on

PHONE = "15550000001@s.whatsapp.net"
PHONE_LID = "100000000000001@lid"
OTHER_COMPANION = "15550000001:7@s.whatsapp.net"
FRIEND = "15550000002@s.whatsapp.net"
GROUP = "120363000000000001@g.us"


class Watched:
    """A watch, and what it has told."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        self.clock = VirtualClock()
        self.seen: list[datetime] = []
        stage = stage_on(MemoryStore(), credentials or paired())
        self.watch = PhoneWatch(line_on(stage, queries=None, clock=self.clock, observer=self))

    def notice(self, notice: Notice) -> None:
        assert isinstance(notice, PhoneSeen)
        self.seen.append(notice.at)

    def took(
        self, tag: str, attrs: dict[str, str] | None = None, at: datetime | None = START
    ) -> None:
        """Let the watch take a stanza, from the phone if not told otherwise."""
        stamp = {} if at is None else {"t": str(int(at.timestamp()))}
        self.watch.took(Node(tag, {"id": "A", "from": PHONE, **stamp, **(attrs or {})}))


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.mark.parametrize(
    ("tag", "attrs"),
    [
        ("message", {"from": PHONE, "recipient": FRIEND}),
        ("message", {"from": PHONE_LID, "category": "peer"}),
        ("message", {"from": GROUP, "participant": PHONE_LID}),
        ("receipt", {"from": PHONE, "type": "sender", "recipient": FRIEND}),
        ("receipt", {"from": PHONE_LID, "type": "peer_msg"}),
        ("receipt", {"from": PHONE, "type": "retry"}),
        ("receipt", {"from": GROUP, "participant": PHONE}),
        ("notification", {"from": PHONE, "type": "mediaretry"}),
    ],
)
def test_what_the_phone_itself_sent_shows_that_it_was_online(
    watched: Watched, tag: str, attrs: dict[str, str]
) -> None:
    watched.took(tag, attrs)
    assert watched.seen == [START]


@pytest.mark.parametrize(
    ("tag", "attrs"),
    [
        ("message", {"from": FRIEND}),
        ("message", {"from": OTHER_COMPANION, "recipient": FRIEND}),
        ("message", {"from": GROUP, "participant": FRIEND}),
        ("message", {"from": "@@"}),
        ("receipt", {"from": FRIEND}),
        ("receipt", {"from": OTHER_COMPANION, "type": "sender"}),
        ("ack", {"from": PHONE, "class": "message"}),
        ("notification", {"from": PHONE, "type": "account_sync"}),
        ("notification", {"from": PHONE, "type": "devices"}),
        ("presence", {"from": PHONE}),
    ],
)
def test_others_and_the_server_prove_nothing_of_the_phone(
    watched: Watched, tag: str, attrs: dict[str, str]
) -> None:
    watched.took(tag, attrs)
    assert watched.seen == []


def test_nothing_is_seen_before_a_phone_is_known() -> None:
    watched = Watched(Credentials.create())
    watched.took("message")
    assert watched.seen == []


def test_an_account_whose_lid_is_not_known_yet_has_a_phone_all_the_same() -> None:
    watched = Watched(Credentials.create().changed(pn="15550000001:3@s.whatsapp.net"))
    watched.took("message", {"from": PHONE_LID})
    watched.took("message", {"from": FRIEND})
    assert watched.seen == []
    watched.took("message")
    assert watched.seen == [START]


def test_a_queued_stanza_tells_of_when_it_was_sent(watched: Watched) -> None:
    three_days_ago = START - timedelta(days=3)
    watched.took("message", {"offline": "1"}, at=three_days_ago)
    assert watched.seen == [three_days_ago]


def test_a_queued_stanza_without_a_time_tells_nothing(watched: Watched) -> None:
    watched.took("message", {"offline": "1"}, at=None)
    assert watched.seen == []
    watched.took("message", at=None)
    assert watched.seen == [START]


def test_the_phone_was_never_seen_in_the_future(watched: Watched) -> None:
    watched.took("message", at=START + timedelta(days=400))
    assert watched.seen == [START]


async def test_sightings_are_told_at_most_once_a_minute_and_never_backwards(
    watched: Watched,
) -> None:
    watched.took("message")
    watched.took("receipt", at=START - timedelta(hours=1))
    await watched.clock.advance(AT_MOST_EVERY.total_seconds() - 1)
    watched.took("message", at=watched.clock.now())
    assert watched.seen == [START]
    await watched.clock.advance(1)
    watched.took("message", at=watched.clock.now())
    assert watched.seen == [START, START + AT_MOST_EVERY]
