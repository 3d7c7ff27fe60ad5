"""How a story has ended: what everybody has and was told, and what must not be."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from perene.core.events import EventType
from tests.moments.life import OWN, PEOPLE, Life
from tests.support.comparison import untrue
from tests.support.former import Former
from tests.support.world import DESK, World

_BANNED: Final = ("failure", "402")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a story has ended. Two tellings without troubles are equal."""

    moments: tuple[str, ...]
    stored: Counter[str]
    """The texts that the session has, with how far its own have come."""
    read: Mapping[str, Counter[str]]
    """The texts that people have read, by number."""
    asked_again: int
    """How many retry receipts were sent, by anybody."""
    problems: tuple[str, ...]
    """What must not be, whatever has happened."""

    def differs(self, expected: "Outcome") -> Iterator[str]:
        """Yield in what this differs from how the story should have ended."""
        if self.stored != expected.stored:
            yield f"stored {_apart(self.stored, expected.stored)}"
        for phone, read in self.read.items():
            if read != expected.read[phone]:
                yield f"{phone} read {_apart(read, expected.read[phone])}"
        # What can be read is not asked for again; what cannot, may be asked for once more.
        if not expected.asked_again and self.asked_again:
            yield f"{self.asked_again} messages could not be read at first"


async def look(
    world: World,
    life: Life,
    moments: tuple[str, ...],
    *,
    troubles: int,
    sharp: bool,
    apart: bool,
    formers: Sequence[Former],
) -> Outcome:
    """Look at the database, the events, the server and people, when all has settled.

    So many `troubles` came. `sharp` says that there is one truth about what was ended, or tried,
    in each moment, `apart` that whatever befell the session befell no other. `formers` are the
    services whose places others have taken.
    """
    views = [view.message for view in await world.stored.messages()]
    return Outcome(
        moments=moments,
        stored=Counter(
            f"{one.text}: {one.status}" if one.key.from_me else f"{one.text}" for one in views
        ),
        read={phone: Counter(map(str, world.server.inbox(phone))) for phone in (*PEOPLE, OWN)},
        asked_again=sum(one.retries_asked for one in world.simulator.evidence.devices.values()),
        problems=(
            *(await untrue(life.truth, [DESK]) if sharp else ()),
            *_miscounted("stored", (str(one.text) for one in views), [*life.written, *life.said]),
            *[problem async for problem in _mistold(world, life)],
            *_broken(world, life, troubles),
            *[problem async for problem in life.neighbour.problems(undisturbed=apart)],
            *[problem for former in formers async for problem in _lingering(former)],
            # A process that is killed while it dials leaves a connection that nobody here closes.
            *(_left_open(world) if formers and troubles == 1 else ()),
        ),
    )


async def _mistold(world: World, life: Life) -> AsyncIterator[str]:
    kinds = EventType.SESSION_CONNECTED, EventType.SESSION_DISCONNECTED
    seen = await world.events.seen(EventType.MESSAGE_RECEIVED, *kinds)
    own = [one.event for one in seen if one.session == DESK]
    texts = [str(one.payload["text"]) for one in own if one.type is EventType.MESSAGE_RECEIVED]
    for problem in _miscounted("told", texts, life.written):
        yield problem
    if replaced := await world.events.seen(EventType.SESSION_REPLACED):
        yield f"{len(replaced)} times it was told that the session was replaced"
    lives = [one.type for one in own if one.type in kinds]
    if any(both == (kinds[0], kinds[0]) for both in pairwise(lives)):
        yield "two logins were told, and no end between"


def _broken(world: World, life: Life, troubles: int) -> Iterator[str]:
    if reused := world.simulator.evidence.reused_keys:
        yield f"keys used twice: {reused}"
    banned = [one for one in life.truth.attempts[DESK] if one.evidence == _BANNED]
    # One is to learn of a ban, and one more for each trouble that came before that was stored.
    if len(banned) > 1 + troubles:
        yield f"{len(banned)} logins while it was banned"
    if left := len(life.device.mailbox):
        yield f"{left} stanzas have no answer"


def _left_open(world: World) -> Iterator[str]:
    if (open_now := world.network.open_now(DESK)) != 1:
        yield f"{open_now} connections are open"


async def _lingering(former: Former) -> AsyncIterator[str]:
    if not former.has_ended:
        yield "a service whose database another one took lives on"
        return
    for problem in await former.problems():
        yield problem


def _miscounted(what: str, found: Iterable[str], expected: Iterable[str]) -> Iterator[str]:
    texts, wanted = Counter(found), Counter(expected)
    if texts != wanted:
        yield f"{what}: {_apart(texts, wanted)}"


def _apart(found: Counter[str], expected: Counter[str]) -> str:
    return f"{dict(found - expected)} in place of {dict(expected - found)}"
