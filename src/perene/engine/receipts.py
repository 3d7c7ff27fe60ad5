"""Receipts and acks for own messages: how far each has come."""

import asyncio
from collections.abc import Callable, Mapping

from perene.core.account_codes import (
    LIMIT_MEANINGS,
    STALE_ADDRESS,
    STALE_GROUP,
)
from perene.core.events import Event, EventType, Json
from perene.core.failures import Failure
from perene.core.ids import MessageId
from perene.core.messages import Status, StatusChange
from perene.core.unit import Committed
from perene.engine.answers import acknowledge
from perene.engine.device_hashes import DeviceHashes
from perene.engine.devices import Devices
from perene.engine.draft import Draft
from perene.engine.groups import Groups
from perene.engine.line import Line
from perene.engine.reach_out import ReachOut
from perene.engine.recipients import Recipients
from perene.engine.wire_forms import WRONG_FORM, WireForms
from perene.wire.errors import JidError, WireError
from perene.wire.jid import Jid
from perene.wire.node import Node

_STATUSES: Mapping[str, Status] = {
    "": Status.DELIVERED,
    "delivery": Status.DELIVERED,
    "inactive": Status.DELIVERED,
    "read": Status.READ,
    "played": Status.PLAYED,
}
"""What a receipt's type says of our message; other types (docs/reference/protocol.md §4.2) say
nothing."""

_MAX_IDS = 10_000


class OwnMessages:
    """Turns the server's and the recipients' receipts into status changes."""

    def __init__(
        self,
        line: Line,
        *,
        devices: Devices,
        groups: Groups,
        hashes: DeviceHashes,
        forms: WireForms,
        reach_out: ReachOut,
        on_answer: Callable[[MessageId], None],
    ) -> None:
        self._stage = line.stage
        self._answers = line.answers
        self._clock = line.clock
        self._devices = devices
        self._groups = groups
        self._hashes = hashes
        self._forms = forms
        self._reach_out = reach_out
        self._on_answer = on_answer
        self._later = line.later
        self._recipients = Recipients(line, devices)
        self._asking: set[str] = set()
        """People whose LID is being asked for."""

    async def receipt(self, node: Node) -> None:
        """Take a `<receipt>` (not a retry): commit what it says, then acknowledge it."""
        status = _STATUSES.get(node.attrs.get("type", ""))
        if status is None or _is_incapable(node):
            self._answers.put(None, acknowledge(node))
            return
        ids = _ids(node)
        done = await self._change(ids, status, EventType.MESSAGE_STATUS, None, acknowledge(node))
        # Whoever has it proves that it was sent, even if the server's own answer was lost.
        done.add_done_callback(lambda _: self._answer_for(ids))

    async def acknowledged(self, node: Node) -> None:
        """Take the server's `<ack class="message">`: the message is sent, or refused.

        A refusal is never tried again by itself: 463 and its kin get worse by trying
        (docs/reference/protocol.md §2). But one of the form of its addresses is followed by the
        same message in the other form. After 479 and 421 the next message asks anew whom it is
        for, and after an answer that knows of other devices than it went to.

        `refresh_lid` says that the LID of the person is not what we take it for.
        """
        message_id = MessageId(node.attrs.get("id", ""))
        error = node.attrs.get("error")
        chat, phash = node.attrs.get("from", ""), node.attrs.get("phash")
        if self._hashes.is_outdated(message_id, chat, phash):
            await self._forget_recipients(node)
        if node.attrs.get("refresh_lid") == "true":
            self._ask_for_lid(chat)
        if error in (STALE_ADDRESS, STALE_GROUP):
            await self._forget_recipients(node)
        if self._goes_out_again(message_id, error, chat):
            self._on_answer(message_id)  # it is still queued
            return
        if error is None:
            self._forms.accepted(message_id)
            self._forms.group_taken(chat)
            done = await self._change((message_id,), Status.SENT, EventType.MESSAGE_SENT, None)
        else:
            limit = self._reach_out.refused(error, message_id)
            done = await self._change(
                (message_id,), Status.FAILED, EventType.MESSAGE_FAILED, error, also=limit
            )
        # Only then: before the commit the store still counts the message among the queued.
        done.add_done_callback(lambda _: self._on_answer(message_id))

    def _goes_out_again(self, message_id: MessageId, error: str | None, chat: str) -> bool:
        if error == WRONG_FORM:
            return self._forms.refused(message_id)
        return error == STALE_GROUP and self._forms.group_refused(message_id, chat)

    def _ask_for_lid(self, chat: str) -> None:
        """Have the person's LID told anew: each of a row of messages says so, and one asks."""
        if chat in self._asking:
            return

        async def ask() -> None:
            try:
                await self._recipients.ask_for_lid(Jid.parse(chat))
            except WireError:
                pass  # it names nobody, or the answer makes no sense
            finally:
                self._asking.discard(chat)

        if self._later(ask):
            self._asking.add(chat)

    def _answer_for(self, ids: tuple[MessageId, ...]) -> None:
        for message_id in ids:
            self._forms.accepted(message_id)
            self._on_answer(message_id)

    async def _forget_recipients(self, node: Node) -> None:
        try:
            chat = Jid.parse(node.attrs.get("from", ""))
        except JidError:
            return
        if chat.is_group:
            self._groups.forget(chat)
            self._devices.forget_all()
        else:
            own = self._stage.credentials.own_pn
            await self._devices.forget_person(self._stage.book, chat, own)

    async def _change(
        self,
        ids: tuple[MessageId, ...],
        status: Status,
        kind: EventType,
        error: str | None,
        *answers: Node,
        also: Event | None = None,
    ) -> "asyncio.Future[Committed]":
        now = self._clock.now()
        failure = None if error is None else Failure.of_refusal(error)
        async with self._stage.lock:
            draft = Draft(self._stage)
            by_number = self._forms.take_learned()
            if by_number is not None:
                since = int(now.timestamp()) if by_number else None
                draft.credentials = self._stage.credentials.changed(by_number_since=since)
            for message_id in ids:
                draft.holders.answered(message_id, refused=status is Status.FAILED)
                payload: dict[str, Json] = {
                    "message_id": message_id,
                    "status": status.value,
                }
                if error is not None and failure is not None:
                    payload["error"] = error
                    payload["failure"] = failure.to_json()
                    if error in LIMIT_MEANINGS:
                        payload["meaning"] = LIMIT_MEANINGS[error]
                draft.status_changes.append(
                    StatusChange(
                        id=message_id,
                        status=status,
                        at=now,
                        failure=failure,
                        event=Event(type=kind, at=now, payload=payload),
                    )
                )
            if also is not None:
                draft.events.append(also)
            committed = draft.submit()
            self._answers.put(committed, *answers)
        return committed


def _is_incapable(node: Node) -> bool:
    """Tell a receipt by which the server says that a device cannot have the message.

    WhatsApp Web takes it for no delivery (whatsapp-rust pull request 708, 2026-06-04).
    """
    error = node.child("error")
    return error is not None and error.attrs.get("type") == "feature-incapable"


def _ids(node: Node) -> tuple[MessageId, ...]:
    """Return the messages that a receipt is about.

    One for several members of a group, or for several who saw a status, has an id of its own and
    names each message beside the people (whatsmeow receipt.go `handleGroupedReceipt`, 2026-08-21;
    whatsmeow#179, 2022-06).
    """
    grouped = [
        part.attrs["key"]
        for part in node.children
        if part.tag == "participants" and "key" in part.attrs
    ]
    listed = node.child("list")
    more = listed.children if listed is not None else ()
    ids = grouped or [node.attrs.get("id", ""), *(item.attrs.get("id", "") for item in more)]
    return tuple(MessageId(text) for text in dict.fromkeys(ids) if text)[:_MAX_IDS]
