"""A connection is made as the settings want it, and as the session's own options do."""

from pathlib import Path
from typing import Any

import pytest

from perene.app.connections import Connections
from perene.app.hearing import Hearings
from perene.app.versions import client_versions
from perene.core.sessions import SessionOptions
from perene.engine.config import EngineConfig
from perene.settings import Settings
from perene.store.store import Store
from tests.support.virtual_clock import VirtualClock


def config(folder: Path, options: SessionOptions, **settings: Any) -> EngineConfig:
    clock = VirtualClock()
    given = Settings(data_dir=folder, **settings)
    store = Store.open(given.database, clock=clock, key_file=given.master_key_path)
    try:
        versions = client_versions(given, store, clock)
        return Connections(given, versions, Hearings(store, clock), clock).config(options)
    finally:
        store.database.close_now()


@pytest.mark.requirement("C7")
def test_stable_defaults_hold_where_nothing_is_set(tmp_path: Path) -> None:
    made = config(tmp_path, SessionOptions())
    assert (made.query_timeout_s, made.client.full_history, made.mark_online) == (60, True, False)


@pytest.mark.requirement("C7")
def test_each_of_them_can_be_set_for_all_sessions(tmp_path: Path) -> None:
    made = config(
        tmp_path, SessionOptions(), query_timeout_s=5, history_sync=False, mark_online=True
    )
    assert (made.query_timeout_s, made.client.full_history, made.mark_online) == (5, False, True)


@pytest.mark.requirement("C7")
def test_each_of_them_can_be_set_for_one_session(tmp_path: Path) -> None:
    own = SessionOptions(query_timeout_s=7, history_sync=False, mark_online=True)
    made = config(tmp_path, own, query_timeout_s=5)
    assert (made.query_timeout_s, made.client.full_history, made.mark_online) == (7, False, True)


def test_a_sessions_own_proxy_goes_before_the_services(tmp_path: Path) -> None:
    everybodys = config(tmp_path, SessionOptions(), proxy="http://all:1")
    own = config(tmp_path, SessionOptions(proxy="http://own:2"), proxy="http://all:1")
    assert (everybodys.endpoint.proxy, own.endpoint.proxy) == ("http://all:1", "http://own:2")
