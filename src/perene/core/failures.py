"""Why a message of ours failed: a closed set of codes, each with what the sender can do.

What WhatsApp's own codes of a refused message say is in `core.account`, with its sources. Of the
others WhatsApp explains none; they are shown as they came.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from perene.core.account_codes import (
    LIMIT_MEANINGS,
    NEW_CHAT_CAP,
    STALE_ADDRESS,
    STALE_GROUP,
    TIME_LOCK,
)
from perene.core.events import Json


class FailureCode(StrEnum):
    """Why a message failed. Stable; what each means and asks for is in `EXPLANATIONS`."""

    TIME_LOCKED = "time_locked"
    NEW_CHAT_CAP = "new_chat_cap"
    REACH_OUT_LIMITED = "reach_out_limited"
    STALE_DEVICES = "stale_devices"
    STALE_GROUP = "stale_group"
    REFUSED = "refused"
    NO_DEVICES = "no_devices"
    NO_KEYS = "no_keys"
    RECIPIENTS_REFUSED = "recipients_refused"
    UNREADABLE_ANSWER = "unreadable_answer"
    UNREADABLE_MESSAGE = "unreadable_message"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a code means, and what whoever sent the message can do."""

    meaning: str
    remedy: str


_LEAVE_IT: Final = (
    "Do not send it again: each try makes a restriction longer. `GET …/account` says when new"
    " chats may be begun; whoever writes first can be answered at once."
)

EXPLANATIONS: Final[Mapping[FailureCode, Explanation]] = {
    FailureCode.TIME_LOCKED: Explanation(
        meaning=LIMIT_MEANINGS[TIME_LOCK],
        remedy=f"{_LEAVE_IT} If WhatsApp shows no restriction on the phone, it was the token, which"
        " comes when the person writes: wait for that, or write from the phone, and lift the hold"
        " on new chats with `DELETE …/account/limit`.",
    ),
    FailureCode.NEW_CHAT_CAP: Explanation(meaning=LIMIT_MEANINGS[NEW_CHAT_CAP], remedy=_LEAVE_IT),
    FailureCode.REACH_OUT_LIMITED: Explanation(
        meaning="It was not sent: WhatsApp limits whom the account may write to, and this person"
        " has not written back.",
        remedy="Send it again when `GET …/account` shows no limit any more, or after the other side"
        " has written.",
    ),
    FailureCode.STALE_DEVICES: Explanation(
        meaning=LIMIT_MEANINGS[STALE_ADDRESS],
        remedy="Send it once more, as a new message: the devices are asked for anew. If that fails"
        " in the same way, look for a newer Perene.",
    ),
    FailureCode.STALE_GROUP: Explanation(
        meaning="The group's members are addressed in another way than WhatsApp said when it was"
        " asked, also once it was asked anew.",
        remedy="Send it again later, as a new message; if that fails too, look for a newer Perene.",
    ),
    FailureCode.REFUSED: Explanation(
        meaning="WhatsApp refused the message for a reason of its own, which `server_code` tells.",
        remedy="See on the phone whether the account may write there at all. Send it again only if"
        " you know why it was refused.",
    ),
    FailureCode.NO_DEVICES: Explanation(
        meaning="It was not sent: the recipient has no devices on WhatsApp.",
        remedy="Check the number, with its country code; the person may not use WhatsApp.",
    ),
    FailureCode.NO_KEYS: Explanation(
        meaning="It was not sent: WhatsApp gave no usable keys for any device of the recipient,"
        " though it was asked three times.",
        remedy="Send it again later, as a new message: the keys are asked for anew.",
    ),
    FailureCode.RECIPIENTS_REFUSED: Explanation(
        meaning="It was not sent: WhatsApp refused to say who is to get it; `server_code` tells"
        " why.",
        remedy="Check the recipient; of a group, that it exists and that the account is in it.",
    ),
    FailureCode.UNREADABLE_ANSWER: Explanation(
        meaning="It was not sent: what WhatsApp said of who is to get it could not be read,"
        " though it was asked three times.",
        remedy="Send it again later, as a new message; if that fails too, look for a newer Perene.",
    ),
    FailureCode.UNREADABLE_MESSAGE: Explanation(
        meaning="It was not sent: the stored message is damaged.",
        remedy="Send it again, as a new message, and report it with the log.",
    ),
}

_OF_SERVER: Final[Mapping[str, FailureCode]] = {
    TIME_LOCK: FailureCode.TIME_LOCKED,
    NEW_CHAT_CAP: FailureCode.NEW_CHAT_CAP,
    STALE_ADDRESS: FailureCode.STALE_DEVICES,
    STALE_GROUP: FailureCode.STALE_GROUP,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why one message failed. `server_code` is WhatsApp's own, None where it gave none."""

    code: FailureCode
    server_code: str | None = None

    @classmethod
    def of_refusal(cls, server_code: str) -> "Failure":
        """Classify the `error` of the server's `<ack>`. Total: what has no code is REFUSED."""
        code = _OF_SERVER.get(server_code, FailureCode.REFUSED)
        return cls(code=code, server_code=server_code)

    def to_json(self) -> dict[str, Json]:
        """Return it as events tell it."""
        return {"code": self.code.value, "server_code": self.server_code}

    @classmethod
    def stored(cls, code: str | None, server_code: str | None) -> "Failure | None":
        """Read what the store kept; None for nothing, and for a code of a newer version."""
        if code not in set(FailureCode):
            return None
        return cls(code=FailureCode(code), server_code=server_code)
