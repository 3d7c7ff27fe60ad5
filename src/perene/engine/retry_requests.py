"""Asking the sender to send again what could not be read: retry receipts of ours."""

from collections import OrderedDict
from dataclasses import dataclass

import structlog

from perene.core.clock import Clock
from perene.core.messages import LedgerEntry, MessageKey
from perene.core.unit import PreKeyWrite
from perene.engine.bundles import device_identity, key_node, next_key_id, own_keys, own_registration
from perene.engine.decrypt import RetryReason
from perene.engine.draft import Draft
from perene.engine.pace import requests_to_senders
from perene.engine.stage import Stage
from perene.signal.bundle import PreKey
from perene.wire.jid import HOSTED_DEVICE, Jid
from perene.wire.node import Node

log = structlog.stdlib.get_logger()

_REMEMBERED = 1024
"""Messages whose resend count is remembered; the ledger holds the count in any case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResendRequest:
    """A retry receipt to send, None when a limit is reached; `count` are the requests so far."""

    node: Node | None
    count: int


class RetryRequests:
    """Builds retry receipts and counts them, per message, up to a limit.

    Of a sender whose every message fails not each one is asked for, but for own devices.

    Form as in docs/reference/protocol.md §4.5; whatsmeow retry.go `sendRetryReceipt`, 2026-08-21.
    """

    def __init__(self, stage: Stage, clock: Clock, *, limit: int) -> None:
        self._stage = stage
        self._limit = limit
        self._pace = requests_to_senders(clock)
        self._counts: OrderedDict[MessageKey, int] = OrderedDict()

    def settled(self, key: MessageKey) -> None:
        """Forget a message that has arrived after all."""
        self._counts.pop(key, None)

    async def build(
        self,
        node: Node,
        key: MessageKey,
        entry: LedgerEntry | None,
        reason: RetryReason,
        draft: Draft,
    ) -> ResendRequest:
        """Build the next request for a message, staging the pre-key that it hands out."""
        count = max(self._counts.get(key, 0), entry.retries if entry else 0)
        if count >= self._limit:
            return ResendRequest(node=None, count=count)
        if not count and not key.from_me and self._pace.turn(key.sender) is None:
            log.warning("resend_not_requested", reason="too_many_of_sender")
            return ResendRequest(node=None, count=count)
        count += 1
        self._counts[key] = count
        while len(self._counts) > _REMEMBERED:
            self._counts.popitem(last=False)
        return ResendRequest(node=self._receipt(node, count, reason, draft), count=count)

    def _receipt(self, node: Node, count: int, reason: RetryReason, draft: Draft) -> Node:
        own = self._stage.credentials
        attrs = {"id": node.attr("id"), "type": "retry", "to": node.attr("from")}
        for name in ("participant", "recipient", "category"):
            if name in node.attrs:
                attrs[name] = node.attrs[name]
        children = [
            Node(
                "retry",
                {
                    "count": str(count),
                    "id": node.attr("id"),
                    "t": node.attrs.get("t", "0"),
                    "v": "1",
                    "error": str(int(reason)),
                },
            ),
            own_registration(own),
        ]
        if count > 1 or self._needs_keys(node):
            children.append(self._keys(draft))
        return Node("receipt", attrs, tuple(children))

    @staticmethod
    def _needs_keys(node: Node) -> bool:
        # Only a group part and no key for it: the sender has no ratchet of ours to use yet.
        kinds = {child.attrs.get("type") for child in node.children if child.tag == "enc"}
        return kinds == {"skmsg"} or _is_from_hosted(node)

    def _keys(self, draft: Draft) -> Node:
        own = self._stage.credentials
        pre_key = PreKey.generate(own.next_pre_key_id)
        draft.credentials = own.changed(next_pre_key_id=next_key_id(own.next_pre_key_id))
        draft.pre_keys_added.append(PreKeyWrite(id=pre_key.id, private=pre_key.key_pair.private))
        # Handed out here, so it must not be uploaded too (docs/reference/protocol.md §1.6).
        draft.pre_keys_uploaded.append(pre_key.id)
        return Node("keys", {}, (*own_keys(own, key_node(pre_key)), device_identity(own)))


def _is_from_hosted(node: Node) -> bool:
    # Such a device keeps nothing from one message to the next, so WhatsApp Web hands it keys with
    # every request (zapo pull request 111, 2026-05-26).
    sender = Jid.parse(node.attrs.get("participant") or node.attr("from"))
    return sender.is_hosted or sender.device == HOSTED_DEVICE
