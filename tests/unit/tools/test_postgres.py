"""Every test that asks for PostgreSQL gets a real and empty one."""

import psycopg
import pytest


@pytest.mark.parametrize("run", [1, 2])
def test_a_database_is_fresh_and_real(postgres_url: str, run: int) -> None:
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE seen (run integer)")
        connection.execute("INSERT INTO seen VALUES (%s)", (run,))
        rows = connection.execute("SELECT run FROM seen").fetchall()
        assert connection.info.server_version >= 16_00_00
    assert rows == [(run,)]
