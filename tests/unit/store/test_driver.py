"""A service on SQLite leaves the driver of PostgreSQL where it is."""

import sqlite3
import subprocess
import sys

import psycopg

from perene.store.driver import is_psycopg_connection, is_psycopg_error


def test_what_is_of_the_driver_is_known() -> None:
    assert is_psycopg_error(psycopg.OperationalError())
    assert not is_psycopg_error(sqlite3.OperationalError())
    assert not is_psycopg_connection(psycopg.OperationalError())


def test_the_service_does_not_load_it_by_itself() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import perene.app, sys; print('psycopg' in sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert told.stdout.strip() == "False"


def test_where_nobody_has_loaded_it_nothing_is_of_it() -> None:
    program = (
        "from perene.store.driver import is_psycopg_connection, is_psycopg_error\n"
        "print(is_psycopg_error(ValueError()), is_psycopg_connection(object()))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert told.stdout.strip() == "False False"
