"""One live connection of one session, from dialling to its end."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from perene.core.causes import Ending, Kind, Local
from perene.core.clock import Clock
from perene.core.errors import StorageError
from perene.core.notices import LoginStarted, Observer
from perene.engine import endings
from perene.engine.addresses import AddressBook
from perene.engine.assembly import assemble
from perene.engine.channel import Channel
from perene.engine.client_payload import client_payload
from perene.engine.config import EngineConfig
from perene.engine.conversation import Conversation
from perene.engine.credentials import Credentials
from perene.engine.draft import Draft
from perene.engine.errors import ConnectionEnded
from perene.engine.listening import HearingMemory
from perene.engine.ports import SessionStore
from perene.engine.stage import Stage
from perene.engine.transport import SocketTransport, Transport
from perene.engine.unreachable import unreachable
from perene.wire.errors import WireError

log = structlog.stdlib.get_logger()

_MAYBE_LOST = frozenset({Local.SOCKET_CLOSED, Local.HANDSHAKE_TIMEOUT, Local.HANDSHAKE_FAILED})
"""What an edge that is gone may look like."""

Dial = Callable[[], Awaitable[Transport]]


class Connection:
    """A connection that has not been made yet; `run` makes it and lives it. Used once.

    Whatever ends it, the return value says what; exceptions are bugs, and the caller's to report.
    `hearing` is what the session's earlier connections learned of its traffic: give each the same.
    """

    def __init__(
        self,
        *,
        store: SessionStore,
        config: EngineConfig,
        clock: Clock,
        observer: Observer,
        dial: Dial | None = None,
        hearing: HearingMemory | None = None,
    ) -> None:
        self._store = store
        self._config = config
        self._clock = clock
        self._observer = observer
        self._hearing = hearing or HearingMemory()
        self._dial: Dial = dial or (lambda: SocketTransport.dial(config.endpoint))
        self._stopping = asyncio.Event()
        self._logging_out = False
        self._conversation: Conversation | None = None

    async def run(self) -> Ending:
        """Connect, converse until the connection ends, and say how it ended.

        Cancelling closes the socket at once; `stop` is the orderly way.
        """
        try:
            return await self._run()
        except* (ConnectionEnded, StorageError, WireError) as group:
            ending = endings.ending_of(group)
            assert ending is not None  # these are what `ending_of` knows
        return ending

    def wake_sender(self) -> None:
        """Tell the connection that the store holds a message to send."""
        if self._conversation is not None:
            self._conversation.wake_sender()

    async def request_pairing_code(self, phone: str) -> str:
        """Ask WhatsApp for a pairing code; raises QueryFailed, QueryTimedOut, ConnectionEnded."""
        if self._conversation is None:
            raise endings.local(Local.SOCKET_CLOSED, "The session is not connected yet.")
        return await self._conversation.linking.request_code(phone)

    def check(self) -> None:
        """Ask for a proof of life at once; without one the connection ends as usual."""
        if self._conversation is not None:
            self._conversation.check()

    def ping_phone(self) -> None:
        """Ask the account's phone for a sign of life; does nothing while not logged in."""
        if self._conversation is not None:
            self._conversation.ping_phone()

    def stop(self, *, log_out: bool = False) -> None:
        """End in order: take nothing more, commit, answer what is committed, close.

        With `log_out`, WhatsApp is asked to forget the device before the socket closes.
        """
        self._logging_out = self._logging_out or log_out
        self._stopping.set()

    async def _run(self) -> Ending:
        credentials = await self._load_credentials()
        if self._stopping.is_set():
            return Ending(kind=Kind.LOCAL, code=Local.STOPPED, sentence="Stopped on request.")
        channel = await self._open_unless_stopped(credentials)
        if channel is None:
            return Ending(kind=Kind.LOCAL, code=Local.STOPPED, sentence="Stopped on request.")
        try:
            self._observer.notice(LoginStarted())
            stage = Stage(self._store, AddressBook(self._store), credentials)
            self._conversation = assemble(
                channel,
                stage=stage,
                config=self._config,
                clock=self._clock,
                observer=self._observer,
                hearing=self._hearing,
            )
            forgotten = await self._conversation.run(
                self._stopping, log_out=lambda: self._logging_out
            )
            code = Local.LOGGED_OUT if forgotten else Local.STOPPED
            return Ending(kind=Kind.LOCAL, code=code, sentence="Stopped on request.")
        finally:
            self._conversation = None
            await channel.close()

    async def _open_unless_stopped(self, credentials: Credentials) -> Channel | None:
        """Dial and shake hands, which may take long; None if `stop` was called meanwhile."""
        opening = asyncio.create_task(self._open(credentials))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((opening, stopping), return_when=asyncio.FIRST_COMPLETED)
            if opening.done():
                return opening.result()
            return None
        except asyncio.CancelledError:
            if opening.done() and not opening.cancelled() and opening.exception() is None:
                await opening.result().close()
            raise
        finally:
            stopping.cancel()
            if opening.cancel():
                # Waited for, so that a half-open socket is closed before this ends.
                await asyncio.wait((opening,))

    async def _open(self, credentials: Credentials) -> Channel:
        endpoint = self._config.endpoint
        try:
            async with self._clock.limit(endpoint.connect_timeout_s):
                transport = await self._dial()
        except TimeoutError as error:
            raise unreachable(error, proxied=endpoint.proxy is not None) from error
        try:
            return await self._shake_hands(transport, credentials)
        except BaseException:  # cancellation too must not leave the socket open
            await transport.close()
            raise

    async def _shake_hands(self, transport: Transport, credentials: Credentials) -> Channel:
        try:
            return await Channel.open(
                transport,
                static=credentials.noise,
                root_key=self._config.root_key,
                payload=client_payload(credentials, self._config.client),
                clock=self._clock,
                routing_info=credentials.routing_info,
                timeout_s=self._config.handshake_timeout_s,
                # A login would throw out the connection of whoever has taken the session since.
                before_login=self._store.require_ownership,
            )
        except ConnectionEnded as ended:
            if credentials.routing_info is not None and ended.ending.code in _MAYBE_LOST:
                await self._forget_the_way(credentials)
            raise

    async def _forget_the_way(self, credentials: Credentials) -> None:
        """Let the next connection begin without the edge that this one was sent to.

        It only makes things faster (docs/reference/protocol.md §1.1), and may be gone.
        """
        draft = Draft(Stage(self._store, AddressBook(self._store), credentials))
        draft.credentials = credentials.changed(routing_info=None)
        try:
            async with self._clock.limit(self._config.drain_timeout_s):
                await asyncio.shield(draft.submit())
        except (StorageError, TimeoutError) as error:
            # It is tried by the same way then, and this comes again.
            log.warning("routing_not_forgotten", error=type(error).__name__)

    async def _load_credentials(self) -> Credentials:
        stored = await self._store.credentials()
        if stored is not None:
            return Credentials.parse(stored)
        # Stored before they are used: the phone may accept them at any moment from now on.
        fresh = Credentials.create()
        draft = Draft(Stage(self._store, AddressBook(self._store), fresh))
        draft.credentials = fresh
        await draft.submit()
        return fresh
