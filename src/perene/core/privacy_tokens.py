"""Privacy tokens: what a person gives to those who may write, and how long it is good for.

A message to a person carries the token that the person has given us, else WhatsApp may refuse it
with 463; and we give ours to whom we write. Time goes by buckets of a week: a token is good in the
bucket it was given in and the three after, and is given anew once in a bucket (whatsmeow
tctoken.go; Baileys src/Utils/tc-token-utils.ts, both 2026-08-21).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

_BUCKET_S: Final = 7 * 86_400
_BUCKETS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyToken:
    """What is known between us and a person (a bare JID).

    `token` was given to us at `given_at`, which is the server's time; ours was given at `sent_at`.
    As a change, a None leaves what is known, and a token older than the known one changes nothing.
    """

    person: str
    token: bytes | None = None
    given_at: datetime | None = None
    sent_at: datetime | None = None

    def changed(self, change: "PrivacyToken") -> "PrivacyToken":
        """Return what is known after a change."""
        newer = change.given_at is not None and (
            self.given_at is None or change.given_at >= self.given_at
        )
        return PrivacyToken(
            person=self.person,
            token=change.token if newer else self.token,
            given_at=change.given_at if newer else self.given_at,
            sent_at=change.sent_at or self.sent_at,
        )

    def usable(self, now: datetime) -> bytes | None:
        """Return the token while it is good."""
        if self.given_at is None or not self.token:
            return None
        return self.token if _age(self.given_at, now) < _BUCKETS else None

    def is_due(self, now: datetime) -> bool:
        """Tell whether ours is to be given with the next message."""
        # In a later bucket it was sent by a clock that was ahead: it may not be good for long.
        return self.sent_at is None or _age(self.sent_at, now) != 0

    def is_held(self, now: datetime) -> bool:
        """Tell whether the person has a token of ours that is still good."""
        return self.sent_at is not None and 0 <= _age(self.sent_at, now) < _BUCKETS


def _age(at: datetime, now: datetime) -> int:
    """Return how many buckets later it is now."""
    return int(now.timestamp()) // _BUCKET_S - int(at.timestamp()) // _BUCKET_S
