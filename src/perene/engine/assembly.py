"""How the parts of a connection are made and put together."""

from dataclasses import dataclass

from perene.core.clock import Clock
from perene.core.notices import Observer
from perene.engine.answers import Answers
from perene.engine.channel import Channel
from perene.engine.config import EngineConfig
from perene.engine.conversation import Conversation
from perene.engine.device_hashes import DeviceHashes
from perene.engine.devices import Devices
from perene.engine.dispatcher import Dispatcher
from perene.engine.groups import Groups
from perene.engine.intake import Intake
from perene.engine.keepalive import FIRST_SILENCE_S, Keepalive
from perene.engine.line import Line
from perene.engine.linking import Linking
from perene.engine.listening import HearingMemory, Listening
from perene.engine.login import Login
from perene.engine.notifications import Notifications
from perene.engine.offline import OfflineDelivery
from perene.engine.phone_ping import PhonePing
from perene.engine.phone_resends import PhoneResends
from perene.engine.phone_watch import PhoneWatch
from perene.engine.prekeys import PreKeys
from perene.engine.privacy_tokens import PrivacyTokens
from perene.engine.queries import Queries
from perene.engine.reach_out import ReachOut
from perene.engine.receipts import OwnMessages
from perene.engine.receive import Receiver
from perene.engine.retry_answers import RetryAnswers
from perene.engine.send import Sender
from perene.engine.sending import SendLoop
from perene.engine.stage import Stage
from perene.engine.welcome import Welcome
from perene.engine.wire_forms import WireForms
from perene.engine.work_queue import WorkQueue


def assemble(
    channel: Channel,
    *,
    stage: Stage,
    config: EngineConfig,
    clock: Clock,
    observer: Observer,
    hearing: HearingMemory,
) -> Conversation:
    """Return a conversation on an open channel. Nothing of it runs yet, and nothing is sent.

    One list on purpose: each part is made once, before those that it is given to.
    """
    work = WorkQueue(clock)
    line = _line(channel, stage, config, clock, observer, work)
    intake = Intake(channel, line.queries, max_waiting=config.max_stanzas_waiting)
    keepalive = _keepalive(line, config, reading=intake, writing=channel)
    intake.on_any = channel.on_part = keepalive.heard
    welcome = Welcome(clock, within_s=config.query_timeout_s)
    linking = Linking(line, qr_timeout_s=config.qr_timeout_s)
    phone_ping = PhonePing(line)
    listening = Listening(line, memory=hearing, phone_ping=phone_ping)
    channel.on_sent = listening.sent
    pre_keys = PreKeys(line, first=config.first_pre_keys)
    login = Login(
        line,
        version=config.client.version,
        pre_keys=pre_keys,
        welcome=welcome,
        listening=listening,
    )
    offline = OfflineDelivery(line.answers, clock)
    sending = _sending(line, config)
    phone_resends = PhoneResends(line, ask=phone_ping.ask)
    dispatcher = Dispatcher(
        line,
        welcome=welcome,
        login=login,
        linking=linking,
        offline=offline,
        receiver=Receiver(
            line,
            phone=phone_resends,
            max_retries=config.max_retries,
            online=config.mark_online,
        ),
        retry_answers=sending.retry_answers,
        own_messages=sending.own_messages,
        notifications=Notifications(
            line,
            devices=sending.devices,
            groups=sending.groups,
            tokens=sending.tokens,
            reach_out=sending.reach_out,
            pre_keys=pre_keys,
            linking=linking,
        ),
        phone_watch=PhoneWatch(line),
        phone_ping=phone_ping,
        listening=listening,
    )
    return Conversation(
        line,
        intake=intake,
        dispatcher=dispatcher,
        work=work,
        keepalive=keepalive,
        welcome=welcome,
        login=login,
        linking=linking,
        send_loop=sending.loop,
        offline=offline,
        listening=listening,
        phone_ping=phone_ping,
        phone_resends=phone_resends,
        drain_timeout_s=config.drain_timeout_s,
    )


def _line(
    channel: Channel,
    stage: Stage,
    config: EngineConfig,
    clock: Clock,
    observer: Observer,
    work: WorkQueue,
) -> Line:
    answers = Answers(
        channel, clock, delay_s=config.retry_delay_s, max_waiting=config.max_answers_waiting
    )
    return Line(
        stage=stage,
        answers=answers,
        queries=Queries(channel.send, config.query_timeout_s, clock),
        later=work.later,
        clock=clock,
        observer=observer,
    )


def _keepalive(line: Line, config: EngineConfig, *, reading: Intake, writing: Channel) -> Keepalive:
    return Keepalive(
        queries=line.queries,
        clock=line.clock,
        observer=line.observer,
        reading=reading,
        writing=writing,
        silence_s=config.keepalive_s,
        first_silence_s=FIRST_SILENCE_S,
        heartbeat_s=config.heartbeat_s,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sending:
    """What own messages go out by, and come to their end."""

    devices: Devices
    groups: Groups
    tokens: PrivacyTokens
    reach_out: ReachOut
    loop: SendLoop
    own_messages: OwnMessages
    retry_answers: RetryAnswers


def _sending(line: Line, config: EngineConfig) -> _Sending:
    devices, groups = Devices(line.queries, line.clock), Groups(line.queries, line.clock)
    tokens = PrivacyTokens(line)
    reach_out = ReachOut(line, hold_s=config.limit_hold_s)
    hashes = DeviceHashes()
    forms = WireForms(by_number=line.stage.credentials.writes_by_number(line.clock.now()))
    sender = Sender(line, devices=devices, groups=groups, tokens=tokens, hashes=hashes, forms=forms)
    loop = SendLoop(line.stage.store, sender, line.clock, reach_out, forms)
    return _Sending(
        devices=devices,
        groups=groups,
        tokens=tokens,
        reach_out=reach_out,
        loop=loop,
        own_messages=OwnMessages(
            line,
            devices=devices,
            groups=groups,
            hashes=hashes,
            forms=forms,
            reach_out=reach_out,
            on_answer=loop.answered,
        ),
        retry_answers=RetryAnswers(
            line, devices=devices, groups=groups, tokens=tokens, cached=config.sent_cache
        ),
    )
