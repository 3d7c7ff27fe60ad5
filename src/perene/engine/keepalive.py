"""Proving that the connection is alive, whatever else it is busy with."""

from perene.core.causes import Local
from perene.core.clock import Clock
from perene.engine import endings
from perene.engine.errors import QueryFailed, QueryTimedOut
from perene.engine.notices import Alive, Observer
from perene.engine.queries import Queries
from perene.wire.node import Node

ANSWER_WITHIN_S = 20.0
"""WhatsApp Web's own deadline (facts/protocol.md §1.7)."""


async def keep_alive(queries: Queries, clock: Clock, observer: Observer, interval_s: float) -> None:
    """Ping every `interval_s` until cancelled; raises ConnectionEnded when no answer comes."""
    while True:
        await clock.sleep(interval_s)
        try:
            await queries.ask("w:p", "get", Node("ping"), timeout_s=ANSWER_WITHIN_S)
        except QueryTimedOut as error:
            raise endings.local(
                Local.KEEPALIVE, "The server did not answer a keepalive."
            ) from error
        except QueryFailed:
            # Any answer proves that somebody is there.
            pass
        observer.notice(Alive(at=clock.now()))
