"""Accounts that may not write to strangers, as WhatsApp limits those it suspects of spam.

docs/reference/protocol.md §2 (463, 475). The notice and the answer are shaped as Baileys
src/Socket/messages-recv.ts and src/Socket/socket.ts (2026-05-21) read them.
"""

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from perene.sim.model import Account
from perene.wire.node import Node

_OPERATION: Final = "NotificationUserReachoutTimelockUpdate"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLock:
    """Until when an account may not begin chats, and the error that its messages get."""

    until: datetime
    code: int


class ReachOutRules:
    """Who has written to whom, and who may write to strangers."""

    def __init__(self) -> None:
        self._wrote: set[tuple[str, str]] = set()
        self.locks: dict[str, TimeLock] = {}
        self.refused: Counter[str] = Counter()
        """Messages refused, by the number that sent them."""

    def refusal(self, sender: Account, to: Account, now: datetime) -> int:
        """Return the error for a message, 0 if it may pass. Asking is what is being limited."""
        lock = self.lock(sender.phone, now)
        if lock is None or sender is to or (to.phone, sender.phone) in self._wrote:
            return 0
        self.refused[sender.phone] += 1
        return lock.code

    def wrote(self, sender: Account, to: Account) -> None:
        """Remember that a message went from one to the other."""
        self._wrote.add((sender.phone, to.phone))

    def lock(self, phone: str, now: datetime) -> TimeLock | None:
        """Return the lock of a number at this moment."""
        lock = self.locks.get(phone)
        return lock if lock is not None and now < lock.until else None


def notice(lock: TimeLock | None) -> Node:
    """Return what a notification of type "mex" tells of a lock, or of its end."""
    data = {"data": {"xwa2_notify_account_reachout_timelock": _state(lock)}}
    return Node("update", {"op_name": _OPERATION}, json.dumps(data).encode())


def answer(lock: TimeLock | None) -> Node:
    """Return the result of the query for the lock."""
    data = {"data": {"xwa2_fetch_account_reachout_timelock": _state(lock)}}
    return Node("result", {}, json.dumps(data).encode())


def _state(lock: TimeLock | None) -> dict[str, object]:
    if lock is None:
        return {"is_active": False, "enforcement_type": "DEFAULT"}
    return {
        "is_active": True,
        "time_enforcement_ends": str(int(lock.until.timestamp())),
        "enforcement_type": "WEB_COMPANION_ONLY",
    }
