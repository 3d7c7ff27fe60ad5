"""How engines are set up: limits, and connections that whoever gives an errand up can cut."""

import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, make_url
from sqlalchemy.exc import OperationalError

from perene.core.errors import StorageUnavailable
from perene.store.engines import make_engine, make_lock_engine
from perene.store.errands import Errand, present
from tests.support.record import PATIENCE_S


class Refused(Exception):
    """Stands for a server that takes no connection."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "perene.db"
    path.touch()
    return path


def words_of(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return with which words the driver is asked to connect."""
    found: dict[str, Any] = {}

    def connect(*_args: object, **words: object) -> None:
        found.update(words)
        raise Refused

    monkeypatch.setattr(engine.dialect, "connect", connect)
    with pytest.raises(Refused), engine.connect():
        pass
    return found


@pytest.mark.parametrize("readers", [0, 4])
def test_sqlite_waits_for_others_as_long_as_it_is_told(file: Path, readers: int) -> None:
    engine = make_engine(make_url(f"sqlite:///{file}"), readers=readers, statement_s=1.5)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 1500
    engine.dispose()


@pytest.mark.parametrize("readers", [0, 4])
def test_a_postgresql_that_is_silent_is_not_waited_for_long(
    readers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_url("postgresql+psycopg://ana@db.example/perene")
    words = words_of(make_engine(url, readers=readers, statement_s=3.0), monkeypatch)
    assert words["connect_timeout"] == 5
    assert words["tcp_user_timeout"] == 3000
    dead_after_s = words["keepalives_idle"] + words["keepalives_interval"] * 3
    assert words["keepalives_count"] == 3
    assert dead_after_s < 20
    assert words["application_name"] == "perene"
    assert "options" not in words


def test_the_connection_of_a_lock_has_a_name_and_prepares_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = make_url("postgresql+psycopg://ana@db.example/perene")
    words = words_of(make_lock_engine(url, "perene lock"), monkeypatch)
    assert words["application_name"] == "perene lock"
    assert words["prepare_threshold"] is None
    assert words["connect_timeout"] == 5


@pytest.mark.parametrize(
    ("asked", "options"),
    [
        ("?options=-csearch_path%3Da", "-csearch_path=a"),
        ("?options=-csearch_path%3Da&options=-cjit%3Doff", "-csearch_path=a -cjit=off"),
    ],
)
def test_options_of_the_url_are_asked_for_each_and_all(
    asked: str, options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_url(f"postgresql+psycopg://ana@db.example/perene{asked}")
    assert words_of(make_engine(url, readers=0), monkeypatch)["options"] == options


def test_for_who_waits_no_more_the_server_is_not_even_called(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(make_url(f"sqlite:///{file}"), readers=0)
    errand, called = Errand(), list[object]()
    monkeypatch.setattr(engine.dialect, "connect", lambda *_args, **_words: called.append(0))

    def work() -> None:
        errand.give_up()
        with engine.connect():
            pass

    with pytest.raises(StorageUnavailable, match="nobody waits"):
        errand.do(work)
    assert called == []


def test_a_connection_can_be_cut_in_its_first_words(file: Path) -> None:
    engine = make_engine(make_url(f"sqlite:///{file}"), readers=0)
    alarms: list[threading.Timer] = []

    def first_words(connection: Any, _record: object) -> None:
        errand = present()
        assert errand is not None
        alarms.append(threading.Timer(0.01, errand.give_up))
        alarms[0].start()
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500000000)"
            " SELECT count(*) FROM n"
        )

    event.listen(engine, "connect", first_words)

    def work() -> None:
        with engine.connect():
            pass

    with pytest.raises(OperationalError, match="interrupted"):
        Errand().do(work)
    alarms[0].join(PATIENCE_S)
    engine.dispose()
