"""What really happened to the connections: told by the network and the simulator, not by Perene."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from perene.core.ids import SessionId
from perene.engine.errors import ConnectionEnded
from perene.wire.node import Node
from tests.support.network import Wire
from tests.support.world import World

SAVED_WITHIN_S = 120.0
"""How long after the database came back all that it could not take is saved."""


class By(Enum):
    """Who ended a connection, as far as Perene can know."""

    DIAL = "dial"
    """It was never made."""
    SERVER = "server"
    NETWORK = "network"
    PERENE = "perene"
    """Perene closed it, for a reason of its own or because it found it dead."""
    KILL = "kill"
    """Perene itself was killed."""


@dataclass(slots=True, eq=False)
class Attempt:
    """One dial, and the connection that came of it. Moments are of the monotonic clock."""

    session: SessionId
    at: float
    logged_in_at: float | None = None
    served_at: float | None = None
    """When the server had given it all that was queued: it had asked for that, as the last step of
    its login. One whose questions before it got no answer was let in, and was never up."""
    gone_at: float | None = None
    by: By | None = None
    last_word: Node | None = None
    """What the server said last, if that reached Perene."""
    wire: Wire | None = None
    fault: tuple[str, str] = ("", "")
    """Of a dial that failed: code and status."""

    @property
    def is_dead(self) -> bool:
        """Whether nothing comes through any more, though nobody has closed it."""
        wire = self.wire
        return wire is not None and (wire.half_open or wire.stuck or wire.server_side.silent)

    @property
    def evidence(self) -> tuple[str, str] | None:
        """The kind and code that people must be told, None if only Perene can know."""
        match self.by:
            case By.DIAL:
                return "local", self.fault[0]
            case By.NETWORK:
                return "local", "socket_closed"
            case By.SERVER if self.last_word is None:
                return "local", "socket_closed"
            case By.SERVER:
                return _told_by(self.last_word)
            case _:
                return None


def _told_by(word: Node | None) -> tuple[str, str]:
    assert word is not None
    match word.tag:
        case "failure":
            return "failure", word.attrs.get("reason", "")
        case "xmlstreamend":
            return "stream_end", ""
        case _:
            code = word.attrs.get("code", "")
            children = [child.tag for child in word.children]
            if not code and children and children[0] != "conflict":
                code = children[0]
            return "stream_error", code


@dataclass(slots=True)
class Truth:
    """Listens to a world from its start; `attempts` are in the order in which they began."""

    world: World
    attempts: dict[SessionId, list[Attempt]] = field(
        default_factory=lambda: defaultdict[SessionId, list[Attempt]](list)
    )
    ends: list[float] = field(default_factory=list[float])
    """When the service was stopped or killed, or a bug ended what drives a session."""
    jumps: list[float] = field(default_factory=list[float])
    """When the wall clock was set."""

    hasty: int = 0
    """How often it ended before all was saved that an ill database had not taken."""
    well_since: float = -1e9
    """When the database was well again after an illness."""

    def __post_init__(self) -> None:
        self._listen_to_database()
        self._listen_to_network()
        self._listen_to_service()
        self._listen_to_clock()

    @property
    def now(self) -> float:
        return self.world.clock.monotonic()

    def logged_in(self, session: SessionId) -> Attempt | None:
        """Return the connection on which the server has a session logged in now."""
        for one in reversed(self.attempts[session]):
            if one.logged_in_at is not None and one.gone_at is None:
                return one
        return None

    def up(self, session: SessionId) -> Iterator[tuple[float, float]]:
        """Yield the spans of time in which a session was served, not only let in."""
        for one in self.attempts[session]:
            if one.served_at is not None:
                yield one.served_at, self.now if one.gone_at is None else one.gone_at

    # --- listening --------------------------------------------------------------------------------

    def _listen_to_clock(self) -> None:
        jump = self.world.clock.jump

        def jumped(seconds: float) -> None:
            self.jumps.append(self.now)
            jump(seconds)

        setattr(self.world.clock, "jump", jumped)  # noqa: B010  # a method

    def _listen_to_database(self) -> None:
        recovers = self.world.storage.recovers

        def recovered() -> None:
            self.well_since = self.now
            recovers()

        setattr(self.world.storage, "recovers", recovered)  # noqa: B010  # a method

    def _listen_to_service(self) -> None:
        perene = self.world.perene
        stop, kill = perene.stop, perene.kill

        async def stopped() -> None:
            if perene.is_up:
                self._ended()
            await stop()

        async def killed() -> None:
            self._ended()
            for attempts in self.attempts.values():
                for one in attempts:
                    self._gone(one, By.KILL)
            await kill()

        setattr(perene, "stop", stopped)  # noqa: B010  # methods
        setattr(perene, "kill", killed)  # noqa: B010

    def _ended(self) -> None:
        self.ends.append(self.now)
        self.hasty += self.world.storage.is_ill or self.now - self.well_since < SAVED_WITHIN_S

    def _listen_to_network(self) -> None:
        network = self.world.network
        dial = network.dial

        async def dialled(session: str) -> Wire:
            attempt = Attempt(SessionId(session), self.now)
            self.attempts[attempt.session].append(attempt)
            try:
                wire = await dial(session)
            except ConnectionEnded as error:
                attempt.fault = error.ending.code, error.ending.attributes.get("status", "")
                self._gone(attempt, By.DIAL)
                raise
            except BaseException:  # a dial that is cancelled was ended by who made it
                self._gone(attempt, By.PERENE)
                raise
            self._follow(wire, attempt)
            return wire

        setattr(network, "dial", dialled)  # noqa: B010  # a method

    def _follow(self, wire: Wire, attempt: Attempt) -> None:
        server = wire.server_side
        send, end, reset, close = server.send, server.end, wire.reset, wire.close

        def sent(node: Node) -> None:
            if node.tag == "success" and not server.closed:
                attempt.logged_in_at = self.now
            if node.tag == "ib" and node.child("offline") is not None and not server.closed:
                attempt.served_at = attempt.served_at or self.now
            send(node)

        def ended(last: Node | None = None) -> None:
            if not server.closed and not (wire.half_open or wire.stuck):
                if not server.silent and attempt.gone_at is None:
                    attempt.last_word = last
                self._gone(attempt, By.SERVER)
            end(last)

        async def cut() -> None:
            self._gone(attempt, By.NETWORK)
            await reset()

        async def closed() -> None:
            self._gone(attempt, By.PERENE)
            await close()

        for one, name, method in (
            (server, "send", sent),
            (server, "end", ended),
            (wire, "reset", cut),
            (wire, "close", closed),
        ):
            setattr(one, name, method)
        attempt.wire = wire

    def _gone(self, attempt: Attempt, by: By) -> None:
        if attempt.gone_at is None:
            attempt.gone_at, attempt.by, attempt.wire = self.now, by, None
