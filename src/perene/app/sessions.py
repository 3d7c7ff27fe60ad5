"""What drives the sessions: supervisor, committer, and what they tell the outside."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog

from perene.app.connections import Connections
from perene.app.hearing import Hearings
from perene.app.owned_stores import OwnedStores
from perene.app.versions import client_versions
from perene.core.account import ReachOutPolicy
from perene.core.clock import EARLIEST, Clock
from perene.core.errors import StorageError
from perene.core.hearing import hearing_with
from perene.core.ids import SessionId
from perene.core.policy_overrides import policies_with
from perene.settings import Settings
from perene.store.store import Store
from perene.supervisor.desks.account import AccountDesk
from perene.supervisor.desks.events import EventFeed
from perene.supervisor.fleet.owner import StoreOwner
from perene.supervisor.fleet.supervisor import Supervisor
from perene.supervisor.fleet.versions import ClientVersions
from perene.supervisor.gate.start_gate import StartGate
from perene.supervisor.metrics import Metrics
from perene.supervisor.session.means import Means
from perene.supervisor.storage.committer import Committer
from perene.supervisor.storage.retries import Retries
from perene.supervisor.storage.saver import SavePolicy, Saver
from perene.supervisor.storage.sweeper import Sweeper

log = structlog.stdlib.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """The parts that drive sessions; `supervisor` and `committer` have a life to be run."""

    supervisor: Supervisor
    committer: Committer
    retries: Retries
    hearings: Hearings
    sweeper: Sweeper
    versions: ClientVersions
    accounts: AccountDesk
    feed: EventFeed


async def wire_sessions(
    settings: Settings, store: Store, clock: Clock, metrics: Metrics
) -> Sessions:
    """Make the parts that drive sessions. Nothing runs yet."""
    saving = _save_policy(settings)
    retries = Retries(clock, saving)
    # What the API asks keeps no session waiting; nor does what else can come later.
    aside = store.aside().asked_by(retries.ask)
    feed = EventFeed(aside)
    committer = Committer(
        Saver(
            commit=store.commit,
            recall=store.recall,
            clock=clock,
            policy=saving,
            measure=metrics.committed,
        ),
        on_commit=feed.ring,
    )
    versions = client_versions(settings, store, clock)
    await versions.load()
    hearings = Hearings(store, clock, hearing_with(settings.hearing_overrides))
    await hearings.load()
    policies = policies_with(settings.policy_overrides)
    connect = Connections(settings, versions, hearings, clock)
    means = Means(
        ownership=StoreOwner(
            store=store,
            open_store=OwnedStores(store.asked_by(retries.ask)),
            committer=committer,
            clock=clock,
            policies=policies,
            versions=versions,
            ring=feed.ring,
        ),
        connect=connect,
        gate=StartGate(clock, at_once=settings.start_at_once, per_second=settings.start_per_second),
        clock=clock,
        rng=random.Random(),  # noqa: S311  # jitter of delays, nothing secret
        metrics=metrics,
        policies=policies,
    )
    accounts = AccountDesk(aside, feed, clock, _reach_out_policy(settings), retries, ring=feed.ring)

    sweeper = Sweeper(partial(retries.ask, aside.remove_remains), clock)

    def forget(session: SessionId) -> None:
        hearings.forget(session)
        accounts.forget(session)
        sweeper.ring()

    supervisor = Supervisor(
        store,
        means,
        retries,
        ring=feed.ring,
        reach=connect.reach,
        last_life=await _last_life(store),
        forget=forget,
    )
    return Sessions(
        supervisor=supervisor,
        committer=committer,
        retries=retries,
        hearings=hearings,
        sweeper=sweeper,
        versions=versions,
        accounts=accounts,
        feed=feed,
    )


async def _last_life(store: Store) -> datetime | None:
    # Asked before anything is written in this run. When the database is late, nobody can tell.
    try:
        found = await store.last_life()
        # One by a clock that had lost the time would make an outage of decades.
        return None if found is None or found < EARLIEST else found
    except StorageError as error:
        log.warning("last_life_not_read", reason=str(error))
        return None


def _save_policy(settings: Settings) -> SavePolicy:
    return SavePolicy(
        attempts=settings.save_attempts,
        timeout_s=settings.save_timeout_s,
        wait_s=settings.save_wait_s,
        max_units=settings.commit_max_units,
    )


def _reach_out_policy(settings: Settings) -> ReachOutPolicy:
    return ReachOutPolicy(
        new_chats_per_day=settings.new_chats_per_day,
        new_chat_pause=timedelta(seconds=settings.new_chat_pause_s),
    )
