"""What the parts of one connection share."""

from collections.abc import Callable
from dataclasses import dataclass

from perene.core.clock import Clock
from perene.core.events import Event
from perene.core.notices import Observer
from perene.engine.answers import Answers
from perene.engine.draft import Draft
from perene.engine.queries import Queries
from perene.engine.stage import Stage
from perene.engine.work_queue import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The line to the server that a connection's parts work on, one of each thing for all of them.

    What is known is on the `stage`; what leaves because of it goes through `answers`, after its
    commit; `queries` ask the server and wait. Where stanzas are read nobody may wait for the
    server: such work is given to `later`, which tells whether it took it. A part takes of this what
    it needs, and keeps that.
    """

    stage: Stage
    answers: Answers
    queries: Queries
    later: Callable[[Work], bool]
    clock: Clock
    observer: Observer

    async def tell(self, event: Event) -> None:
        """Store an event that nothing else is stored with."""
        async with self.stage.lock:
            draft = Draft(self.stage)
            draft.events.append(event)
            self.answers.put(draft.submit())
