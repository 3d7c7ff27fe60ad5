"""What must outlive a restart of the service: counts, a ban, a stop, the open outage."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, cast

from perene.core.causes import Cause, Kind
from perene.core.ids import SessionId
from perene.core.outage_json import losses_from_json, losses_to_json
from perene.core.outages import Outage, OutageId
from perene.core.policy import Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a session stands with WhatsApp.

    `counts` are attempts in vain, in a row; of those in `told`, a person was told that a limit was
    reached. `not_before` bars every attempt until then, `held`
    until a person acts. `ban_code` is the sub-code of a ban that has not been seen to end.
    `up` says that a connection was stable then, `left_at` since when nobody drove it any more.
    `phone_seen_at` is the last sign of the phone, `phone_absent_days` the absence that people were
    told of.
    """

    counts: Mapping[Count, int] = field(default_factory=dict[Count, int])
    told: frozenset[Count] = frozenset()
    not_before: datetime | None = None
    held: Cause | None = None
    ban_code: str | None = None
    outage: Outage | None = None
    up: bool = False
    left_at: datetime | None = None
    phone_seen_at: datetime | None = None
    phone_absent_days: int = 0

    def counted(self, count: Count) -> int:
        """Return how many attempts of a kind have been in vain."""
        return self.counts.get(count, 0)

    def with_one_more(self, count: Count) -> "Standing":
        """Return the standing after one more attempt in vain."""
        earlier = self.counted(count)
        told = self.told if earlier else self.told - {count}
        return replace(self, counts={**self.counts, count: earlier + 1}, told=told)

    def serialize(self) -> str:
        """Return it as JSON, "" when there is nothing to remember."""
        if self == Standing():
            return ""
        outage = self.outage
        return json.dumps(
            {
                "version": 1,
                "counts": {count.value: n for count, n in self.counts.items()},
                "told": sorted(self.told),
                "not_before": _text(self.not_before),
                "held": None if self.held is None else self.held.value,
                "ban_code": self.ban_code,
                "outage": None if outage is None else _outage_fields(outage),
                "up": self.up,
                "left_at": _text(self.left_at),
                "phone_seen_at": _text(self.phone_seen_at),
                "phone_absent_days": self.phone_absent_days,
            }
        )

    @classmethod
    def parse(cls, text: str | None) -> "Standing":
        """Read what `serialize` wrote; what a newer version wrote counts as nothing known.

        Nothing is lost by that but patience: no key depends on it.
        """
        if not text:
            return cls()
        try:
            stored = cast("dict[str, Any]", json.loads(text))
            if stored.get("version") != 1:
                return cls()
            held = stored.get("held")
            outage = stored.get("outage")
            return cls(
                counts={Count(name): int(n) for name, n in stored["counts"].items()},
                told=frozenset(Count(name) for name in stored.get("told", ())),
                not_before=_moment(stored.get("not_before")),
                held=None if held is None else Cause(held),
                ban_code=stored.get("ban_code"),
                outage=None if outage is None else _outage(outage),
                up=bool(stored.get("up", False)),
                left_at=_moment(stored.get("left_at")),
                phone_seen_at=_moment(stored.get("phone_seen_at")),
                phone_absent_days=int(stored.get("phone_absent_days", 0)),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return cls()


def _outage_fields(outage: Outage) -> dict[str, Any]:
    return {
        "id": outage.id,
        "session": outage.session,
        "began_at": outage.began_at.isoformat(),
        "cause": outage.cause.value,
        "kind": outage.kind.value,
        "code": outage.code,
        "sentence": outage.sentence,
        "attributes": dict(outage.attributes),
        "attempts": outage.attempts,
        "last_attempt_at": _text(outage.last_attempt_at),
        "last_cause": outage.last_cause.value,
        "last_code": outage.last_code,
        "losses": losses_to_json(outage.losses),
        "retry_at": _text(outage.retry_at),
    }


def _outage(stored: Mapping[str, Any]) -> Outage:
    return Outage(
        id=OutageId(stored["id"]),
        session=SessionId(stored["session"]),
        began_at=datetime.fromisoformat(stored["began_at"]),
        cause=Cause(stored["cause"]),
        kind=Kind(stored["kind"]),
        code=stored["code"],
        sentence=stored["sentence"],
        attributes=dict(stored["attributes"]),
        attempts=int(stored["attempts"]),
        last_attempt_at=_moment(stored["last_attempt_at"]),
        last_cause=Cause(stored["last_cause"]),
        last_code=stored["last_code"],
        losses=losses_from_json(stored.get("losses", ())),
        retry_at=_moment(stored["retry_at"]),
    )


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
