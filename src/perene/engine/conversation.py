"""The life of a connection's parts: every task in one group, and the order in which they end."""

import asyncio
from collections.abc import Awaitable, Callable

from perene.core.causes import Local
from perene.engine import endings
from perene.engine.dispatcher import Dispatcher
from perene.engine.errors import ConnectionEnded
from perene.engine.intake import Intake
from perene.engine.keepalive import Keepalive
from perene.engine.line import Line
from perene.engine.linking import Linking
from perene.engine.listening import Listening
from perene.engine.login import Login
from perene.engine.offline import OfflineDelivery
from perene.engine.phone_ping import PhonePing
from perene.engine.phone_resends import PhoneResends
from perene.engine.sending import SendLoop
from perene.engine.welcome import Welcome
from perene.engine.work_queue import WorkQueue


class Conversation:
    """What happens on an open channel. `run` ends by `stopping`, or by raising ConnectionEnded.

    Made by `engine.assembly`, used once.
    """

    def __init__(
        self,
        line: Line,
        *,
        intake: Intake,
        dispatcher: Dispatcher,
        work: WorkQueue,
        keepalive: Keepalive,
        welcome: Welcome,
        login: Login,
        linking: Linking,
        send_loop: SendLoop,
        offline: OfflineDelivery,
        listening: Listening,
        phone_ping: PhonePing,
        phone_resends: PhoneResends,
        drain_timeout_s: float,
    ) -> None:
        self._line = line
        self._intake = intake
        self._dispatcher = dispatcher
        self._work = work
        self._keepalive = keepalive
        self._welcome = welcome
        self._login = login
        self.linking = linking
        self._send_loop = send_loop
        self._offline = offline
        self._listening = listening
        self._phone_ping = phone_ping
        self._phone_resends = phone_resends
        self._drain_timeout_s = drain_timeout_s
        self._processing = asyncio.Lock()
        self._sending: asyncio.Task[None] | None = None
        self._draining = False
        self._tasks: asyncio.TaskGroup
        login.on_success = self._let_in

    def wake_sender(self) -> None:
        """Look for messages to send."""
        self._send_loop.wake()

    def check(self) -> None:
        """Prove soon that the server is there, or end."""
        self._keepalive.hurry()

    def ping_phone(self) -> None:
        """Ask the phone for a sign of life, once the login is complete."""
        if self._sending is not None:
            self._work.later(self._ping_phone)

    async def _ping_phone(self) -> None:
        await self._phone_ping.send()

    async def run(self, stopping: asyncio.Event, *, log_out: Callable[[], bool]) -> bool:
        """Converse until `stopping` is set, then drain; or raise what ended the connection.

        `log_out` is asked then: whether WhatsApp is to forget this device first. Returns whether it
        said that it has.
        """
        forgotten = False
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for name, job in (
                    ("read", self._read()),
                    # From the first moment, as the web client does (Baileys socket.ts, 2026-08).
                    ("keepalive", self._keepalive.run()),
                    ("welcome", self._welcome.run()),
                    ("process", self._process()),
                    ("answer", self._line.answers.run()),
                    ("work", self._work.run()),
                    ("codes", self.linking.by_qr.show()),
                    ("listen", self._listening.run()),
                    ("pull", self._offline.run()),
                ):
                    tasks.create_task(job, name=name)
                await stopping.wait()
                if log_out():
                    forgotten = await self.linking.undo()
                await self._drain()
                raise _Drained
        except* _Drained:
            pass
        finally:
            self._listening.closed()
            self.linking.closed()
            ended = endings.local(Local.SOCKET_CLOSED, "The connection ended.")
            self._line.queries.fail_all(ended)
        return forgotten

    def _let_in(self) -> None:
        self._tasks.create_task(self._begin(), name="begin")

    async def _begin(self) -> None:
        """Complete the login, then let out what is queued."""
        await self._login.complete()
        if self._draining:
            return
        self._sending = self._tasks.create_task(self._send_loop.run(), name="send")
        self._phone_resends.resume()

    async def _read(self) -> None:
        try:
            await self._intake.read()
        except ConnectionEnded as ended:
            if ended.ending.code == Local.MALFORMED:
                # The server sends the malformed stanza again each time; what came before it must
                # not be lost with it each time.
                await self._finish(self._intake.emptied())
            raise

    async def _process(self) -> None:
        while True:
            nodes = await self._intake.batch()
            await self._line.answers.room()
            async with self._processing:
                await self._dispatcher.dispatch(nodes)

    async def _drain(self) -> None:
        """Finish what was taken: its units commit, its answers leave. The rest stays queued."""
        self._draining = True
        self._intake.close()
        await self._finish(self._end_sending())

    async def _end_sending(self) -> None:
        """Begin no further message; what is under way with the stage is brought to its end.

        Where a draft has told the address book that two addresses are one person, what is kept
        under them is yet to be moved: the messages of the batch at hand would not be read.
        """
        async with self._line.stage.lock:
            if self._sending is not None:
                self._sending.cancel()

    async def _finish(self, *first: Awaitable[None]) -> None:
        try:
            async with self._line.clock.limit(self._drain_timeout_s):
                for step in first:
                    await step
                async with self._processing:
                    await self._line.answers.drained()
        except TimeoutError:
            # Unanswered stanzas are delivered again and recognised; nothing is lost by leaving.
            return


class _Drained(Exception):
    """Ends the task group once everything taken has been answered."""
