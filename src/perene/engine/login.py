"""The login: what follows the server's `<success>`, until the session is open."""

from collections.abc import Callable

import structlog

from perene.core.causes import Local
from perene.core.clock import instant
from perene.core.notices import Opened, TimeTold, VersionExpires
from perene.core.unit import Profile
from perene.engine import endings
from perene.engine.draft import Draft
from perene.engine.errors import QueryFailed, QueryTimedOut
from perene.engine.line import Line
from perene.engine.listening import Listening, server_stamp
from perene.engine.prekeys import PreKeys
from perene.engine.stanza import timestamp
from perene.engine.welcome import Welcome
from perene.engine.work_queue import Rest
from perene.wire.errors import JidError
from perene.wire.jid import Jid
from perene.wire.node import Node

log = structlog.stdlib.get_logger()

_MAX_ROUTING_INFO = 1024

_ACTIVE_AGAIN_S = 30.0
"""Between two questions to be made active: a session that is not may hear nothing."""


class Login:
    """Lets a paired device in, once per connection.

    `on_success` is called when the server has let us in, and must see to it that `complete` runs:
    that asks the server, and so cannot be awaited where stanzas are read.
    """

    def __init__(
        self,
        line: Line,
        *,
        version: tuple[int, int, int],
        pre_keys: PreKeys,
        welcome: Welcome,
        listening: Listening,
    ) -> None:
        self._version = version
        self._stage = line.stage
        self._answers = line.answers
        self._queries = line.queries
        self._clock = line.clock
        self._observer = line.observer
        self._pre_keys = pre_keys
        self._welcome = welcome
        self._listening = listening
        self._later = line.later
        self._succeeded = False
        self.on_success: Callable[[], None] | None = None

    async def succeeded(self, node: Node) -> None:
        """Take the server's `<success>`: commit who we are to it, and have the rest begun."""
        if not self._stage.credentials.paired:
            # Seen around pairing, before the registration is complete
            # (docs/reference/protocol.md §1.4).
            return
        if self._succeeded:
            return
        self._succeeded = True
        self._welcome.greeted()
        said = server_stamp(node)
        if said is not None:
            self._observer.notice(TimeTold(said=said, at=instant(self._clock)))
        self._listening.opened(node)
        await self._keep_profile(node.attrs.get("lid"))
        if self.on_success is not None:
            self.on_success()

    async def _keep_profile(self, lid: str | None) -> None:
        async with self._stage.lock:
            draft = Draft(self._stage)
            own = self._stage.credentials
            draft.credentials = own.changed(
                login_counter=own.login_counter + 1,
                lid=_lid(lid) or own.lid,
            )
            draft.profile = Profile(pn=own.pn, lid=draft.credentials.lid, platform=own.platform)
            self._answers.put(draft.submit())

    async def routed(self, node: Node) -> None:
        """Take the server's `<edge_routing>`: what the next login is to begin with."""
        routing = node.child("routing_info")
        if routing is None or not 0 < len(routing.data) <= _MAX_ROUTING_INFO:
            return
        if routing.data == self._stage.credentials.routing_info:
            return
        async with self._stage.lock:
            draft = Draft(self._stage)
            draft.credentials = self._stage.credentials.changed(routing_info=routing.data)
            self._answers.put(draft.submit())

    def expiring(self, node: Node) -> None:
        """Take the server's `<client_expiration>`: from when on it refuses our client version.

        Without a time it takes back what it said; a time that is none says nothing, and the server
        serves us until then in any case (whatsapp-rust pull request 1314, 2026-08-16).
        """
        said = node.attrs.get("t")
        at = timestamp(said) if said is not None else None
        if said is None or at is not None:
            log.warning("client_version_expires", at=at.isoformat() if at is not None else None)
            self._observer.notice(VersionExpires(at=at, version=self._version))

    async def complete(self) -> None:
        """Supply pre-keys, become active, and say that the session is open.

        Whether the server has the keys that we have is looked at behind that.

        Raises ConnectionEnded when the server says nothing, StorageError.
        """
        try:
            await self._supply_pre_keys()
            if not await self._is_active():
                self._later(self._not_active_yet)
            # Nothing waits for it: only who writes for the first time needs these keys.
            self._later(self._pre_keys.check)
        except QueryTimedOut as error:
            raise endings.local(
                Local.KEEPALIVE, f"The server did not complete the login: {error}"
            ) from error
        own = self._stage.credentials
        self._observer.notice(
            Opened(
                at=self._clock.now(),
                pn=str(own.own_pn.bare),
                lid=str(own.own_lid.bare) if own.lid else None,
            )
        )

    async def _is_active(self) -> bool:
        """Ask to be given what comes; False if the server refuses that for now."""
        try:
            await self._queries.ask("passive", "set", Node("active"))
        except QueryFailed as error:
            # The login stands: a session that can send already is worth more than none. But it may
            # be given nothing before.
            log.warning("not_made_active", status=error.status)
            return False
        return True

    async def _not_active_yet(self) -> Rest:
        return Rest(after_s=_ACTIVE_AGAIN_S, work=self._become_active)

    async def _become_active(self) -> Rest | None:
        try:
            return None if await self._is_active() else await self._not_active_yet()
        except QueryTimedOut:
            return await self._not_active_yet()

    async def _supply_pre_keys(self) -> None:
        try:
            await self._pre_keys.ensure()
        except QueryFailed as error:
            # Peers at first contact do without one-time keys; the server asks when it wants more.
            log.warning("pre_keys_refused", status=error.status)
        except QueryTimedOut as error:
            # A server that answers all else is no reason to log in again and again; whatsmeow goes
            # on, too (connectionevents.go `handleConnectSuccess`, 2026-08-21).
            log.warning("pre_keys_unanswered", reason=str(error))


def _lid(text: str | None) -> str | None:
    """Return a LID as we write it, None for what is none: anything else would not be us."""
    try:
        lid = Jid.parse(text) if text else None
    except JidError:
        return None
    return str(lid) if lid is not None and lid.is_lid else None
