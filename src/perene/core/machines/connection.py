"""The connection: from the wish to be online, through every way to lose it, back to being open.

What people want is in `wants`, what follows from a loss in `reactions`.
"""

from dataclasses import replace

from perene.core.causes import Cause, Local, classify
from perene.core.clock import Instant
from perene.core.ids import Epoch
from perene.core.machines import reactions, wants
from perene.core.machines.effects import Connect, FindVersion, PairingStreamEnded
from perene.core.machines.inputs import (
    Due,
    Ended,
    Input,
    LoggedIn,
    LogOut,
    PhoneAccepted,
    Relieved,
    Restart,
    Start,
    Stop,
    VersionFound,
)
from perene.core.machines.signals import (
    Claim,
    Denied,
    Emptied,
    Granted,
    Lost,
    PutOff,
    Signal,
    Stable,
    Trying,
)
from perene.core.machines.state import (
    Chances,
    Claiming,
    Connecting,
    Draining,
    FindingVersion,
    Linking,
    LoggingOut,
    Moved,
    Open,
    SessionState,
    SettingAside,
    Then,
    Waiting,
    has_come,
)
from perene.core.machines.verdict import Verdict
from perene.core.machines.wants import claim
from perene.core.policy import SLOWLY, STABLE_AFTER, Reaction


def step(state: SessionState, heard: Input | Signal, now: Instant, chances: Chances) -> Moved:
    """Return what the connection makes of what it heard."""
    match state.connection, heard:
        case _, Start() | Restart() | Stop() | LogOut():
            return wants.step(state, heard, now, chances)
        case Claiming(parting=parting), Granted(epoch=epoch):
            return _connect(state, Connecting(parting=parting), epoch, chances)
        case ((Claiming() | SettingAside()), Denied()):
            return _disowned(state, chances)
        case ((Connecting() | Draining()), PhoneAccepted()):
            # A new beginning: what failed before there was a device says nothing of its logins.
            return Moved(state=replace(state, standing=replace(state.standing, counts={})))
        case Connecting(parting=True), LoggedIn():
            return wants.drain(state, Then.LOG_OUT)
        case Connecting(), LoggedIn(at=at):
            standing = state.standing.without_ban()
            return Moved(state=replace(state, connection=Open(since=at), standing=standing))
        case _, Due() | Relieved():
            return _due(state, heard, now, chances)
        case ((Connecting() | Open() | Draining()), Ended()):
            return _ended(state, heard, now, chances)
        case FindingVersion(), VersionFound(found=found):
            return claim(state) if found else _look_later(state, now, chances)
        case SettingAside() as aside, Emptied():
            return reactions.set_aside(state, aside, now, chances)
        case LoggingOut(), Emptied():
            return wants.logged_out(state)
        case _:
            return Moved(state=state)


def stable_at(connection: Open) -> float | None:
    """Return the monotonic second at which a connection counts as stable, None once it does."""
    if connection.stable:
        return None
    return connection.since.later(STABLE_AFTER)


def _due(state: SessionState, heard: Due | Relieved, now: Instant, chances: Chances) -> Moved:
    """A deadline has come, or a wait has lost its reason before."""
    match state.connection:
        case Open() as connection if has_come(stable_at(connection), now):
            return _stable(state, connection)
        case Waiting(cause=cause) if isinstance(heard, Relieved):
            over = heard.by in chances.policies[cause].relief
            return claim(state) if over else Moved(state=state)
        case Waiting(until=until, cause=Cause.OUTDATED) if has_come(until, now):
            looking = replace(state, connection=FindingVersion())
            return Moved(state=looking, out=(FindVersion(),))
        case Waiting(until=until) if has_come(until, now):
            return claim(replace(state, standing=state.standing.unbarred()))
        case _:
            return Moved(state=state)


def _look_later(state: SessionState, now: Instant, chances: Chances) -> Moved:
    policy = chances.policies[Cause.OUTDATED]
    wait = (policy.schedule or SLOWLY).wait(0, chances.jitter)
    waiting = Waiting.after(wait, Cause.OUTDATED, now)
    return Moved(state=replace(state, connection=waiting), out=(PutOff(wait=wait),))


def _connect(state: SessionState, connecting: Connecting, epoch: Epoch, chances: Chances) -> Moved:
    standing = state.standing.unbarred()
    number, limit = 1, None
    if standing.outage is not None:
        policy = chances.policies[standing.outage.last_cause]
        number, limit = max(1, standing.counted(policy.count)), policy.limit
    connect = Connect(epoch=epoch, attempt=number, limit=limit)
    state = replace(state, connection=connecting, standing=standing)
    return Moved(state=state, out=(Trying(), connect))


def _stable(state: SessionState, connection: Open) -> Moved:
    standing = replace(state.standing, counts={})
    stable = replace(connection, stable=True)
    return Moved(state=replace(state, connection=stable, standing=standing), out=(Stable(),))


def _ended(state: SessionState, ended: Ended, now: Instant, chances: Chances) -> Moved:
    match state.connection:
        case Draining() as draining:
            return wants.drained(state, draining, ended, chances)
        case Connecting(parting=True) if isinstance(state.pairing, Linking):
            return claim(state, parting=True)  # linked just now; it has not logged in yet
        case Connecting(parting=True):
            # It was only to say goodbye, and one attempt is all that courtesy asks for.
            return wants.follow(state, Then.LOG_OUT, ended=ended)
        case Connecting() if _ends_pairing(state, ended):
            claimed = claim(state)
            return Moved(state=claimed.state, out=(PairingStreamEnded(), *claimed.out))
        case Open() as connection if has_come(stable_at(connection), now):
            # Its time had come, though nobody had said so yet.
            calm = _stable(state, connection)
            lost = _lost(calm.state, ended, now, chances)
            return Moved(state=lost.state, out=(*calm.out, *lost.out))
        case _:
            return _lost(state, ended, now, chances)


def _ends_pairing(state: SessionState, ended: Ended) -> bool:
    """Tell whether it is the end that every pairing has, and no error: the login comes next.

    Once the device has answered `<pair-success>`, WhatsApp ends that stream by 515, and waits for a
    new one with a login. whatsmeow expects it, and tells nobody of a disconnection (pair.go
    `handlePair`, connectionevents.go, 2026-08-21); Baileys tells of a new login, and expects to
    restart (Socket/socket.ts, 7.0.0-rc14). It is known by the connection that it ends: a 515 before
    the phone has accepted, or in place of the login that follows, is one of group D.
    """
    is_515 = classify(ended.ending) is Cause.RESTART_REQUIRED
    return is_515 and isinstance(state.pairing, Linking)


def _lost(state: SessionState, ended: Ended, now: Instant, chances: Chances) -> Moved:
    verdict = Verdict.of(ended.ending, chances.policies)
    if verdict.policy.reaction is Reaction.NONE:
        # Nobody asked for it: whoever says so is mistaken, and the session must come back.
        verdict = Verdict.of_local(Local.INTERNAL, chances.policies)
    moved = reactions.react(state, verdict, now, chances)
    if not state.paired:
        return moved  # nothing was up yet
    return Moved(state=moved.state, out=(Lost(verdict=verdict), *moved.out))


def _disowned(state: SessionState, chances: Chances) -> Moved:
    if isinstance(state.connection, Claiming) and state.connection.parting:
        return Moved(state=state, out=(Claim(),))  # a person's word takes the session back
    verdict = Verdict.of_local(Local.STALE_EPOCH, chances.policies)
    return reactions.hold(state, verdict)
