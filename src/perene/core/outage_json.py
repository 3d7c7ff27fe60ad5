"""Outages as JSON: whole in the standing of a session, their losses in the table of outages.

What reads raises KeyError, TypeError or ValueError for what its counterpart did not write.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from perene.core.causes import Cause, Kind
from perene.core.ids import SessionId
from perene.core.outages import Loss, Outage, OutageId


def outage_to_json(outage: Outage) -> dict[str, Any]:
    """Return what `outage_from_json` reads, of an outage that goes on."""
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
        "last_attempt_at": moment_to_json(outage.last_attempt_at),
        "last_cause": outage.last_cause.value,
        "last_code": outage.last_code,
        "losses": losses_to_json(outage.losses),
        "retry_at": moment_to_json(outage.retry_at),
    }


def outage_from_json(stored: Mapping[str, Any]) -> Outage:
    """Read what `outage_to_json` returned; an older version told no losses."""
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
        last_attempt_at=moment_from_json(stored["last_attempt_at"]),
        last_cause=Cause(stored["last_cause"]),
        last_code=stored["last_code"],
        losses=losses_from_json(stored.get("losses", ())),
        retry_at=moment_from_json(stored["retry_at"]),
    )


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
    """Read what `losses_to_json` returned."""
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


def moment_to_json(moment: datetime | None) -> str | None:
    """Return what `moment_from_json` reads."""
    return None if moment is None else moment.isoformat()


def moment_from_json(text: str | None) -> datetime | None:
    """Read what `moment_to_json` returned."""
    return None if text is None else datetime.fromisoformat(text)
