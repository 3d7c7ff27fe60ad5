"""Noticing the account's phone: whatever proves that it has been online.

A companion is not told of its phone's presence. It sees what the phone itself sends: copies of its
messages, peer messages, and a receipt for every message of the companion's own that reached it
(mautrix-whatsapp pkg/connector/handlewhatsapp.go `handleWAReceipt`, phoneping.go, 2026-08; the
receipts of the own phone are all that it goes by, with media retries). Notifications such as
`account_sync` or `devices` prove nothing: the server makes them for what any device changed.
"""

from datetime import datetime, timedelta

from perene.core.notices import PhoneSeen
from perene.engine.line import Line
from perene.engine.stanza import timestamp
from perene.wire.errors import JidError
from perene.wire.jid import Jid
from perene.wire.node import Node

AT_MOST_EVERY = timedelta(minutes=1)
"""How far apart two sightings are that are told; what hangs on them is counted in days."""


class PhoneWatch:
    """Tells the observer when the phone was last online, by the server's own times.

    Sightings come in order and at most once a minute. A queued stanza tells of the time when the
    server took it, not of now: a phone that wrote three days ago was seen three days ago.
    """

    def __init__(self, line: Line) -> None:
        self._stage = line.stage
        self._clock = line.clock
        self._observer = line.observer
        self._seen_at: datetime | None = None

    def took(self, node: Node) -> None:
        """A stanza of the server was processed: whose was it, and when?"""
        if not self._is_of_phone(node):
            return
        at = self._time(node)
        if at is None or (self._seen_at is not None and at < self._seen_at + AT_MOST_EVERY):
            return
        self._seen_at = at
        self._observer.notice(PhoneSeen(at=at))

    def _time(self, node: Node) -> datetime | None:
        now, said = self._clock.now(), timestamp(node.attrs.get("t", ""))
        if said is not None:
            return min(said, now)
        return None if "offline" in node.attrs else now

    def _is_of_phone(self, node: Node) -> bool:
        match node.tag:
            case "message" | "status" | "receipt":
                author = node.attrs.get("participant") or node.attrs.get("from", "")
            case "notification" if node.attrs.get("type") == "mediaretry":
                author = node.attrs.get("from", "")
            case _:
                return False
        own = self._stage.credentials
        if own.pn is None:
            return False
        try:
            jid = Jid.parse(author)
        except JidError:
            return False
        if jid.device:
            return False
        return jid == own.own_pn.bare or (own.lid is not None and jid == own.own_lid.bare)
