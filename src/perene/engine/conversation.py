"""What happens on an open channel: every stanza to whom it concerns, every task in one group."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog

from perene.core.causes import Local
from perene.core.clock import Clock
from perene.core.events import Event, EventType
from perene.core.notices import Observer, Opened
from perene.core.unit import Profile
from perene.engine import endings
from perene.engine.answer_retries import RetryAnswers
from perene.engine.answers import Answers, acknowledge
from perene.engine.channel import Channel
from perene.engine.config import EngineConfig
from perene.engine.devices import Devices
from perene.engine.errors import ConnectionEnded, QueryFailed, QueryTimedOut
from perene.engine.foresight import Foresight
from perene.engine.groups import Groups
from perene.engine.incoming import digests_of
from perene.engine.intake import Intake
from perene.engine.keepalive import Keepalive
from perene.engine.linking import Linking
from perene.engine.listening import HearingMemory, Listening
from perene.engine.notifications import Notifications, Work
from perene.engine.offline import OfflineDelivery
from perene.engine.phone import PhoneWatch
from perene.engine.phone_ping import PhonePing
from perene.engine.prekeys import PreKeys
from perene.engine.privacy_tokens import PrivacyTokens
from perene.engine.queries import Queries
from perene.engine.reach_out import ReachOut
from perene.engine.receipts import OwnMessages
from perene.engine.receive import Receiver
from perene.engine.resend import RetryRequests
from perene.engine.send import Sender
from perene.engine.sending import SendLoop
from perene.engine.stage import Stage
from perene.engine.welcome import Welcome
from perene.wire.jid import Jid
from perene.wire.node import Node

log = structlog.stdlib.get_logger()

_MAX_WORK = 500
"""Jobs that wait for the server. A retry request beyond them is not answered, and so comes again
with the next connection; other jobs are repeated by their own occasions."""

_MAX_ROUTING_INFO = 1024

_UNLINK_WITHIN_S = 10.0


class Conversation:
    """The stanzas of one channel. `run` ends by `stopping`, or by raising ConnectionEnded."""

    def __init__(
        self,
        *,
        stage: Stage,
        channel: Channel,
        config: EngineConfig,
        clock: Clock,
        observer: Observer,
        hearing: HearingMemory,
    ) -> None:
        self._stage = stage
        self._channel = channel
        self._config = config
        self._clock = clock
        self._observer = observer
        self._answers = Answers(channel, clock, delay_s=config.retry_delay_s)
        self._queries = Queries(channel.send, config.query_timeout_s, clock)
        self._intake = Intake(channel, self._queries)
        self._offline = OfflineDelivery(self._answers)
        self._work: asyncio.Queue[Work] = asyncio.Queue(_MAX_WORK)
        self._keepalive = Keepalive(
            queries=self._queries,
            clock=clock,
            observer=observer,
            reading=self._intake,
            writing=channel,
            silence_s=config.keepalive_s,
            heartbeat_s=config.heartbeat_s,
        )
        self._intake.on_any = self._keepalive.heard
        self._welcome = Welcome(clock, within_s=config.query_timeout_s)
        self._phone_ping = PhonePing(
            stage=stage, answers=self._answers, queries=self._queries, clock=clock
        )
        self._listening = Listening(
            memory=hearing,
            phone_ping=self._phone_ping,
            stage=stage,
            answers=self._answers,
            queries=self._queries,
            clock=clock,
            observer=observer,
        )
        channel.on_sent = self._listening.sent
        self._phone = PhoneWatch(stage=stage, clock=clock, observer=observer)
        self._processing = asyncio.Lock()
        self._logged_in_once = False
        self._sending: asyncio.Task[None] | None = None
        self._tasks: asyncio.TaskGroup
        self._assemble()

    def _assemble(self) -> None:
        stage, answers, queries, clock = self._stage, self._answers, self._queries, self._clock
        config = self._config
        devices, groups = Devices(queries, clock), Groups(queries, clock)
        self._foresight = Foresight(stage)
        self._pre_keys = PreKeys(
            stage=stage, answers=answers, queries=queries, first=config.first_pre_keys
        )
        self.linking = Linking(
            stage=stage,
            answers=answers,
            queries=queries,
            clock=clock,
            observer=self._observer,
            qr_timeout_s=config.qr_timeout_s,
        )
        self._receiver = Receiver(
            stage=stage,
            answers=answers,
            retries=RetryRequests(stage, limit=config.max_retries),
            clock=clock,
            online=config.mark_online,
        )
        tokens = PrivacyTokens(
            stage=stage, answers=answers, queries=queries, clock=clock, later=self._later
        )
        sender = Sender(
            stage=stage,
            answers=answers,
            queries=queries,
            devices=devices,
            groups=groups,
            clock=clock,
            tokens=tokens,
        )
        reach_out = ReachOut(
            stage=stage,
            answers=answers,
            queries=queries,
            clock=clock,
            hold_s=config.limit_hold_s,
            later=self._later,
        )
        self._send_loop = SendLoop(stage.store, sender, clock, reach_out)
        self._retry_answers = RetryAnswers(
            stage=stage,
            answers=answers,
            queries=queries,
            devices=devices,
            groups=groups,
            clock=clock,
            cached=config.sent_cache,
        )
        self._own_messages = OwnMessages(
            stage=stage,
            answers=answers,
            clock=clock,
            devices=devices,
            reach_out=reach_out,
            on_answer=self._send_loop.answered,
        )
        self._notifications = Notifications(
            stage=stage,
            answers=answers,
            devices=devices,
            groups=groups,
            later=self._later,
            refill=self._pre_keys.ensure,
            finish_pairing=self.linking.finish_by_code,
            notice=reach_out.notice,
            token=tokens.notice,
            renewed=tokens.renew,
        )

    def wake_sender(self) -> None:
        """Look for messages to send."""
        self._send_loop.wake()

    def check(self) -> None:
        """Prove soon that the server is there, or end."""
        self._keepalive.hurry()

    def ping_phone(self) -> None:
        """Ask the phone for a sign of life, once the login is complete."""
        if self._sending is not None:
            self._later(self._ping_phone)

    async def _ping_phone(self) -> None:
        await self._phone_ping.send()

    async def run(self, stopping: asyncio.Event, *, log_out: Callable[[], bool]) -> None:
        """Converse until `stopping` is set, then drain; or raise what ended the connection.

        `log_out` is asked then: whether WhatsApp is to forget this device first.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for name, job in (
                    ("read", self._read()),
                    # From the first moment, as the web client does (Baileys socket.ts, 2026-08).
                    ("keepalive", self._keepalive.run()),
                    ("welcome", self._welcome.run()),
                    ("process", self._process()),
                    ("answer", self._answers.run()),
                    ("work", self._do_work()),
                    ("codes", self.linking.show_codes()),
                    ("listen", self._listening.run()),
                ):
                    tasks.create_task(job, name=name)
                await stopping.wait()
                if log_out():
                    await self._unlink()
                await self._drain()
                raise _Drained
        except* _Drained:
            pass
        finally:
            self._listening.closed()
            self._queries.fail_all(endings.local(Local.SOCKET_CLOSED, "The connection ended."))

    async def _unlink(self) -> None:
        """Ask WhatsApp to forget the device (whatsmeow client.go, Logout, 2026-08)."""
        own = self._stage.credentials
        if not own.paired:
            return
        removal = Node(
            "remove-companion-device", {"jid": str(own.own_pn), "reason": "user_initiated"}
        )
        try:
            await self._queries.ask("md", "set", removal, timeout_s=_UNLINK_WITHIN_S)
        except (QueryFailed, QueryTimedOut, ConnectionEnded) as error:
            # The keys are destroyed all the same; the phone's list shows the device a while longer.
            log.warning("device_not_removed_by_whatsapp", reason=str(error))

    async def _read(self) -> None:
        try:
            await self._intake.read()
        except ConnectionEnded as ended:
            if ended.ending.code == Local.MALFORMED:
                # The server sends the malformed stanza again each time; what came before it must
                # not be lost with it each time.
                await self._finish(self._intake.emptied())
            raise

    async def _drain(self) -> None:
        """Finish what was taken: its units commit, its answers leave. The rest stays queued."""
        self._intake.close()
        if self._sending is not None:
            self._sending.cancel()
        await self._finish()

    async def _finish(self, *first: Awaitable[None]) -> None:
        try:
            async with self._clock.limit(self._config.drain_timeout_s):
                for step in first:
                    await step
                async with self._processing:
                    await self._answers.drained()
        except TimeoutError:
            # Unanswered stanzas are delivered again and recognised; nothing is lost by leaving.
            return

    async def _process(self) -> None:
        while True:
            nodes = await self._intake.batch()
            await self._answers.room()
            async with self._processing:
                await self._process_batch(nodes)

    async def _process_batch(self, nodes: list[Node]) -> None:
        messages = [node for node in nodes if node.tag == "message"]
        digests = [digest for node in messages for digest in digests_of(node)]
        known: frozenset[bytes] = frozenset()
        if digests:
            known = await self._stage.store.known_ciphertexts(digests)
            await self._foresight.look(messages)
        for node in nodes:
            self._offline.arrived(node)
            await self._take(node, known)
            self._phone.took(node)
        self._listening.took(nodes)

    async def _take(self, node: Node, known: frozenset[bytes]) -> None:
        match node.tag:
            case "message" if self._stage.credentials.paired:
                await self._receiver.receive(node, known)
            case "receipt" if node.attrs.get("type") == "retry":
                self._later(lambda: self._retry_answers.answer(node))
            case "receipt":
                await self._own_messages.receipt(node)
            case "ack" if node.attrs.get("class") == "message":
                if not self._phone_ping.answered(node):
                    await self._own_messages.acknowledged(node)
            case "notification":
                await self._notifications.take(node)
            case "call":
                self._answers.put(None, acknowledge(node))
            case "iq":
                await self._take_iq(node)
            case "ib":
                await self._take_ib(node)
            case "success":
                await self._logged_in(node)
            case _:
                # Presence, chat states and other acks ask for no answer (facts/protocol.md §5.1).
                pass

    async def _take_iq(self, node: Node) -> None:
        if node.child("pair-device") is not None:
            self._welcome.greeted()
            self.linking.offer(node)
        elif node.child("pair-success") is not None:
            await self.linking.complete(node)
            self._welcome.linked()
        elif node.child("ping") is not None or node.attrs.get("xmlns") == "urn:xmpp:ping":
            # The server drops a connection that does not answer (facts/protocol.md §1.7).
            reply = {"type": "result", "to": node.attrs.get("from", "s.whatsapp.net")}
            if "id" in node.attrs:
                reply["id"] = node.attrs["id"]
            self._answers.put(None, Node("iq", reply))

    async def _take_ib(self, node: Node) -> None:
        for child in node.children:
            match child.tag:
                case "offline_preview":
                    self._offline.previewed(child)
                case "offline":
                    self._offline.ended()
                case "edge_routing":
                    routing = child.child("routing_info")
                    if routing is not None and 0 < len(routing.data) <= _MAX_ROUTING_INFO:
                        await self._keep_routing(routing.data)
                case _:
                    pass

    async def _keep_routing(self, info: bytes) -> None:
        if info == self._stage.credentials.routing_info:
            return
        async with self._stage.lock:
            draft = self._stage.draft()
            draft.credentials = self._stage.credentials.changed(routing_info=info)
            self._answers.put(draft.submit())

    async def _logged_in(self, node: Node) -> None:
        own = self._stage.credentials
        if not own.paired:
            # Seen around pairing, before the registration is complete (facts/protocol.md §1.4).
            return
        if self._logged_in_once:
            return
        self._logged_in_once = True
        self._welcome.greeted()
        self._listening.opened()
        lid = node.attrs.get("lid")
        async with self._stage.lock:
            draft = self._stage.draft()
            own = self._stage.credentials
            draft.credentials = own.changed(
                login_counter=own.login_counter + 1,
                lid=str(Jid.parse(lid)) if lid else own.lid,
            )
            draft.profile = Profile(pn=own.pn, lid=draft.credentials.lid, platform=own.platform)
            self._answers.put(draft.submit())
        self._tasks.create_task(self._begin(), name="begin")

    async def _begin(self) -> None:
        """Do what follows a login: pre-keys, active, then the queue."""
        try:
            await self._supply_pre_keys()
            await self._queries.ask("passive", "set", Node("active"))
        except QueryFailed as error:
            # The login stands without it: a live session that is short of something is worth more.
            log.warning("login_step_refused", status=error.status)
        except QueryTimedOut as error:
            raise endings.local(
                Local.KEEPALIVE, f"The server did not complete the login: {error}"
            ) from error
        now = self._clock.now()
        self._observer.notice(Opened(at=now))
        await self._announce(now)
        self._sending = self._tasks.create_task(self._send_loop.run(), name="send")

    async def _announce(self, now: datetime) -> None:
        """Commit that the session is connected; whoever reads it finds the session open."""
        own = self._stage.credentials
        payload = {"pn": str(own.own_pn.bare), "lid": str(own.own_lid.bare) if own.lid else None}
        async with self._stage.lock:
            draft = self._stage.draft()
            draft.events.append(
                Event(type=EventType.SESSION_CONNECTED, at=now, payload={**payload})
            )
            self._answers.put(draft.submit())

    async def _supply_pre_keys(self) -> None:
        try:
            await self._pre_keys.ensure()
        except QueryFailed as error:
            # Peers at first contact do without one-time keys; the server asks when it wants more.
            log.warning("pre_keys_refused", status=error.status)

    def _later(self, work: Work) -> None:
        try:
            self._work.put_nowait(work)
        except asyncio.QueueFull:
            # See _MAX_WORK: left unanswered on purpose.
            return

    async def _do_work(self) -> None:
        while True:
            work = await self._work.get()
            try:
                await work()
            except (QueryFailed, QueryTimedOut) as error:
                # The server did not help this time; the occasion of every job comes again.
                log.warning("server_did_not_help", reason=str(error))


class _Drained(Exception):
    """Ends the task group once everything taken has been answered."""
