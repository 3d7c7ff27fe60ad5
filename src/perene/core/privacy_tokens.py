"""Privacy tokens: what a person gives to those who may write, and how long it is good for.

A message to a person carries the token that the person has given us, else WhatsApp may refuse it
with 463; and we give ours to whom we write. Time goes by buckets of a week: a token is good in the
bucket it was given in and the three after, and is given anew once in a bucket (whatsmeow
tctoken.go; Baileys src/Utils/tc-token-utils.ts, both 2026-08-21). The server may set another time
for what was given to us: 26 buckets were seen (whatsapp-rust pull request 473, 2026-04-01).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

_BUCKET_S: Final = 7 * 86_400
_BUCKETS: Final = 4

_LONGEST_BUCKET_S: Final = 366 * 86_400
_MOST_BUCKETS: Final = 520
"""What the server says beyond these is taken for a mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLife:
    """For how long a token is good: in the bucket it was given in, and those that follow."""

    bucket_s: int = _BUCKET_S
    buckets: int = _BUCKETS

    @classmethod
    def told(cls, bucket_s: int | None, buckets: int | None) -> "TokenLife":
        """Return what the server said; what it did not say, or makes no sense, is as usual."""
        return cls(
            bucket_s=_within(bucket_s, _LONGEST_BUCKET_S) or _BUCKET_S,
            buckets=_within(buckets, _MOST_BUCKETS) or _BUCKETS,
        )


USUAL_LIFE: Final = TokenLife()


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

    def usable(self, now: datetime, life: TokenLife = USUAL_LIFE) -> bytes | None:
        """Return the token while it is good."""
        if self.given_at is None or not self.token:
            return None
        return self.token if _age(self.given_at, now, life.bucket_s) < life.buckets else None

    def is_due(self, now: datetime) -> bool:
        """Tell whether ours is to be given with the next message."""
        # In a later bucket it was sent by a clock that was ahead: it may not be good for long.
        return self.sent_at is None or _age(self.sent_at, now) != 0

    def is_held(self, now: datetime) -> bool:
        """Tell whether the person has a token of ours that is still good."""
        return self.sent_at is not None and 0 <= _age(self.sent_at, now) < _BUCKETS


def _age(at: datetime, now: datetime, bucket_s: int = _BUCKET_S) -> int:
    """Return how many buckets later it is now."""
    return int(now.timestamp()) // bucket_s - int(at.timestamp()) // bucket_s


def _within(number: int | None, most: int) -> int | None:
    return number if number is not None and 0 < number <= most else None
