"""What WhatsApp's codes about an account say: of its bans, and of the messages that it refuses."""

from collections.abc import Mapping
from typing import Final

_UNNAMED_BAN: Final = "WhatsApp gave no reason that is known; its terms of service were violated."

BAN_MEANINGS: Final[Mapping[str, str]] = {
    "101": "Too many messages were sent to people who do not have this number in their contacts.",
    "102": "Too many people blocked this number.",
    "103": "Too many groups were made with people who do not have this number in their contacts.",
    "104": "The same message was sent to too many people.",
    "105": _UNNAMED_BAN,
    "106": "Too many messages were sent to a broadcast list.",
}
"""What the sub-code of a temporary ban says (whatsmeow types/events/events.go, 2026-08-21)."""

TIME_LOCK: Final = "463"
NEW_CHAT_CAP: Final = "475"
STALE_ADDRESS: Final = "479"
STALE_GROUP: Final = "421"

_LOCKED: Final = "The account may not write to people who have not written to it."

LIMIT_MEANINGS: Final[Mapping[str, str]] = {
    TIME_LOCK: "The account may not write to people who have not written to it, or the message"
    " lacked the privacy token of the person it was for.",
    NEW_CHAT_CAP: "The account has begun as many chats as WhatsApp allows for now.",
    STALE_ADDRESS: "The message was addressed to a list of devices that is out of date.",
    STALE_GROUP: "The group's members are addressed in another way by now; send it again.",
}
"""What the error code of a refused message says (Baileys src/Utils/decode-wa-message.ts,
2026-05-21; whatsapp-rust src/client/node_io.rs and wacore/src/protocol/nack.rs, 2026-08-21). 463
says two things, and the refusal does not tell which (Baileys issue 2441, 2026-03-25; whatsmeow
pull request 1081, 2026-02-16)."""

REACH_OUT_CODES: Final = frozenset({TIME_LOCK, NEW_CHAT_CAP})
"""The codes that concern the account; 479 and 421 concern one message."""


def ban_meaning(code: str | None) -> str:
    """Return the sentence about a ban's sub-code; total."""
    return BAN_MEANINGS.get(code or "", _UNNAMED_BAN)


def limit_meaning(code: str, *, told: bool = False) -> str:
    """Return the sentence about a limit, or a refused message's code; total.

    `told` says that WhatsApp itself named the lock and its end: then it is no missing token.
    """
    if told and code == TIME_LOCK:
        return _LOCKED
    return LIMIT_MEANINGS.get(code, f"WhatsApp refused the message with code {code}.")
