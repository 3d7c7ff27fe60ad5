"""What must outlive a restart of the service: counts, a ban, a stop, the open outage."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, cast

from perene.core.account import Ban
from perene.core.causes import Cause
from perene.core.outage_json import (
    moment_from_json,
    moment_to_json,
    outage_from_json,
    outage_to_json,
)
from perene.core.outages import Outage
from perene.core.policy import Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a session stands with WhatsApp.

    `counts` are attempts in vain, in a row; of those in `told`, a person was told that a limit was
    reached. `not_before` bars every attempt until then because of `barred_by`, `held` until a
    person acts. `ban_code` is the sub-code of a ban that has not been seen to end; `ban_end_told`
    whether WhatsApp said when it will, or `not_before` is only when to look. `up` says that the
    session has logged in and no connection was lost since, as long as none of them was to end an
    outage: then that it was stable. `left_at` is since when nobody drove it any more. `shown_up`
    says that people were told of a login, and of no end of its connection yet. `phone_seen_at` is
    the last sign of the phone, `phone_absent_days` the absence that people were told of.
    """

    counts: Mapping[Count, int] = field(default_factory=dict[Count, int])
    told: frozenset[Count] = frozenset()
    not_before: datetime | None = None
    barred_by: Cause | None = None
    held: Cause | None = None
    ban_code: str | None = None
    ban_end_told: bool = True
    outage: Outage | None = None
    up: bool = False
    left_at: datetime | None = None
    shown_up: bool = False
    phone_seen_at: datetime | None = None
    phone_absent_days: int = 0

    @property
    def ban(self) -> Ban | None:
        """The ban that bars every attempt. Of one whose time is over the next login tells more."""
        if self.ban_code is None or self.not_before is None:
            return None
        return Ban(code=self.ban_code, until=self.not_before if self.ban_end_told else None)

    def unbarred(self) -> "Standing":
        """Return the standing when an attempt may be made at any time."""
        return replace(self, not_before=None, barred_by=None)

    def without_ban(self) -> "Standing":
        """Return the standing when no ban is known any more."""
        return replace(self, ban_code=None, ban_end_told=True)

    def emptied(self) -> "Standing":
        """Return the standing without what was remembered about credentials that are gone."""
        return replace(
            self.unbarred().without_ban(),
            counts={},
            held=None,
            up=False,
            left_at=None,
            phone_seen_at=None,
            phone_absent_days=0,
        )

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
                "not_before": moment_to_json(self.not_before),
                "barred_by": None if self.barred_by is None else self.barred_by.value,
                "held": None if self.held is None else self.held.value,
                "ban_code": self.ban_code,
                "ban_end_told": self.ban_end_told,
                "outage": None if outage is None else outage_to_json(outage),
                "up": self.up,
                "left_at": moment_to_json(self.left_at),
                "shown_up": self.shown_up,
                "phone_seen_at": moment_to_json(self.phone_seen_at),
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
            barred_by, held = stored.get("barred_by"), stored.get("held")
            outage = stored.get("outage")
            up, left_at = bool(stored.get("up", False)), moment_from_json(stored.get("left_at"))
            return cls(
                counts={Count(name): int(n) for name, n in stored["counts"].items()},
                told=frozenset(Count(name) for name in stored.get("told", ())),
                not_before=moment_from_json(stored.get("not_before")),
                barred_by=None if barred_by is None else Cause(barred_by),
                held=None if held is None else Cause(held),
                ban_code=stored.get("ban_code"),
                ban_end_told=bool(stored.get("ban_end_told", True)),
                outage=None if outage is None else outage_from_json(outage),
                up=up,
                left_at=left_at,
                # An earlier Perene told the end of whatever was not up any more.
                shown_up=bool(stored.get("shown_up", up and left_at is None)),
                phone_seen_at=moment_from_json(stored.get("phone_seen_at")),
                phone_absent_days=int(stored.get("phone_absent_days", 0)),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return cls()
