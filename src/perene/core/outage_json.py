"""Losses as JSON values, as the standing of a session and the table of outages keep them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from perene.core.causes import Cause, Kind
from perene.core.outages import Loss


def losses_to_json(losses: Sequence[Loss]) -> list[dict[str, Any]]:
    """Return what `losses_from_json` reads."""
    return [
        {
            "cause": loss.cause.value,
            "kind": loss.kind.value,
            "code": loss.code,
            "attributes": dict(loss.attributes),
            "times": loss.times,
            "first_at": loss.first_at.isoformat(),
            "last_at": loss.last_at.isoformat(),
        }
        for loss in losses
    ]


def losses_from_json(stored: Sequence[Mapping[str, Any]]) -> tuple[Loss, ...]:
    """Read what `losses_to_json` returned. Raises KeyError, TypeError or ValueError."""
    return tuple(
        Loss(
            cause=Cause(one["cause"]),
            kind=Kind(one["kind"]),
            code=one["code"],
            attributes=dict(one["attributes"]),
            times=int(one["times"]),
            first_at=datetime.fromisoformat(one["first_at"]),
            last_at=datetime.fromisoformat(one["last_at"]),
        )
        for one in stored
    )
