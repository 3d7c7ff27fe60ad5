"""What a dial trusts, and that a thousand dials read it once."""

import shutil
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from perene.core.causes import Local
from perene.engine import transport
from perene.engine.errors import ConnectionEnded
from perene.engine.transport import Endpoint, shared_tls, tls_context
from perene.sim.certificate import self_signed

ENDPOINT = Endpoint(url="wss://localhost/ws/chat")


@pytest.fixture(autouse=True)
def nothing_shared_before() -> Iterator[None]:
    transport._shared_context.cache_clear()
    yield
    transport._shared_context.cache_clear()


def authority() -> bytes:
    """Make a certificate that is no other's."""
    certificate, _key = self_signed("127.0.0.1")
    return certificate


@pytest.fixture
def ca_file(tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    path.write_bytes(authority())
    return str(path)


def authorities(context: ssl.SSLContext | None) -> int:
    assert context is not None
    return context.cert_store_stats()["x509"]


def test_dials_to_one_endpoint_share_what_they_trust(ca_file: str) -> None:
    endpoint = replace(ENDPOINT, ca_file=ca_file)
    proxied = replace(endpoint, proxy="http://user:password@proxy:3128")
    assert shared_tls(endpoint) is shared_tls(endpoint) is shared_tls(proxied)


def test_authorities_that_could_not_be_read_once_are_looked_for_by_the_next_dial(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As while no descriptor is left: Python makes a context that trusts nobody, and says nothing.
    empty = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with monkeypatch.context() as nothing_left:
        nothing_left.setattr(ssl, "create_default_context", lambda: empty)
        assert authorities(shared_tls(ENDPOINT)) == 0
    full = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    full.load_verify_locations(cadata=authority().decode())
    monkeypatch.setattr(ssl, "create_default_context", lambda: full)
    assert shared_tls(ENDPOINT) is full is shared_tls(ENDPOINT)


def test_a_dial_without_tls_needs_no_context() -> None:
    assert shared_tls(replace(ENDPOINT, url="ws://localhost/ws/chat")) is None


def test_an_endpoint_that_is_not_verified_shares_nothing_with_one_that_is() -> None:
    strict, lax = (
        shared_tls(ENDPOINT),
        shared_tls(replace(ENDPOINT, tls_verify=False)),
    )
    assert strict is not None
    assert lax is not None
    assert (strict.verify_mode, strict.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert (lax.verify_mode, lax.check_hostname) == (ssl.CERT_NONE, False)


def test_a_named_file_of_authorities_is_trusted_by_its_endpoint_alone(ca_file: str) -> None:
    plain, named = (
        shared_tls(ENDPOINT),
        shared_tls(replace(ENDPOINT, ca_file=ca_file)),
    )
    assert authorities(named) == authorities(plain) + 1


def test_a_changed_file_of_authorities_is_read_again(ca_file: str, tmp_path: Path) -> None:
    endpoint = replace(ENDPOINT, ca_file=ca_file)
    before = shared_tls(endpoint)
    with Path(ca_file).open("ab") as file:
        file.write(authority())
    after = shared_tls(endpoint)
    assert authorities(after) == authorities(before) + 1
    other = tmp_path / "other.pem"
    other.write_bytes(authority())
    shutil.move(other, ca_file)
    assert authorities(shared_tls(endpoint)) == authorities(before)
    assert shared_tls(endpoint) is not before


def test_a_file_of_authorities_that_has_gone_ends_in_tls(ca_file: str) -> None:
    endpoint = replace(ENDPOINT, ca_file=ca_file)
    shared_tls(endpoint)
    Path(ca_file).unlink()
    with pytest.raises(ConnectionEnded) as caught:
        shared_tls(endpoint)
    assert caught.value.ending.code == Local.TLS


def test_the_system_s_authorities_are_read_again_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(transport.time, "monotonic", lambda: now)
    first = shared_tls(ENDPOINT)
    now = 3599.0
    assert shared_tls(ENDPOINT) is first
    now = 3600.0
    assert shared_tls(ENDPOINT) is not first


def test_who_asks_for_a_context_may_change_it() -> None:
    # An HTTP client sets its own protocols (ALPN) on the context that it is given.
    assert tls_context(ca_file=None, verify=True) is not tls_context(ca_file=None, verify=True)
