"""What a dial trusts, and that a thousand dials read it once."""

import shutil
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from perene.core.causes import Local
from perene.engine.endpoint import Endpoint
from perene.engine.errors import ConnectionEnded
from perene.engine.tls import SharedTls, tls_context
from perene.sim.certificate import self_signed

ENDPOINT = Endpoint(url="wss://localhost/ws/chat")


@pytest.fixture
def shared() -> SharedTls:
    return SharedTls()


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


def test_dials_to_one_endpoint_share_what_they_trust(shared: SharedTls, ca_file: str) -> None:
    endpoint = replace(ENDPOINT, ca_file=ca_file)
    proxied = replace(endpoint, proxy="http://user:password@proxy:3128")
    assert shared.of(endpoint) is shared.of(endpoint) is shared.of(proxied)


def test_authorities_that_could_not_be_read_once_are_looked_for_by_the_next_dial(
    shared: SharedTls, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As while no descriptor is left: Python makes a context that trusts nobody, and says nothing.
    empty = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with monkeypatch.context() as nothing_left:
        nothing_left.setattr(ssl, "create_default_context", lambda: empty)
        assert authorities(shared.of(ENDPOINT)) == 0
    full = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    full.load_verify_locations(cadata=authority().decode())
    monkeypatch.setattr(ssl, "create_default_context", lambda: full)
    assert shared.of(ENDPOINT) is full is shared.of(ENDPOINT)


def test_a_dial_without_tls_needs_no_context(shared: SharedTls) -> None:
    assert shared.of(replace(ENDPOINT, url="ws://localhost/ws/chat")) is None


def test_an_endpoint_that_is_not_verified_shares_nothing_with_one_that_is(
    shared: SharedTls,
) -> None:
    strict, lax = (
        shared.of(ENDPOINT),
        shared.of(replace(ENDPOINT, tls_verify=False)),
    )
    assert strict is not None
    assert lax is not None
    assert (strict.verify_mode, strict.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert (lax.verify_mode, lax.check_hostname) == (ssl.CERT_NONE, False)


def test_a_named_file_of_authorities_is_trusted_by_its_endpoint_alone(
    shared: SharedTls, ca_file: str
) -> None:
    plain, named = (
        shared.of(ENDPOINT),
        shared.of(replace(ENDPOINT, ca_file=ca_file)),
    )
    assert authorities(named) == authorities(plain) + 1


def test_a_changed_file_of_authorities_is_read_again(
    shared: SharedTls, ca_file: str, tmp_path: Path
) -> None:
    endpoint = replace(ENDPOINT, ca_file=ca_file)
    before = shared.of(endpoint)
    with Path(ca_file).open("ab") as file:
        file.write(authority())
    after = shared.of(endpoint)
    assert authorities(after) == authorities(before) + 1
    other = tmp_path / "other.pem"
    other.write_bytes(authority())
    shutil.move(other, ca_file)
    assert authorities(shared.of(endpoint)) == authorities(before)
    assert shared.of(endpoint) is not before


def test_a_file_of_authorities_that_has_gone_ends_in_tls(shared: SharedTls, ca_file: str) -> None:
    endpoint = replace(ENDPOINT, ca_file=ca_file)
    shared.of(endpoint)
    Path(ca_file).unlink()
    with pytest.raises(ConnectionEnded) as caught:
        shared.of(endpoint)
    assert caught.value.ending.code == Local.TLS


def test_the_system_s_authorities_are_read_again_after_a_while() -> None:
    now = 0.0
    shared = SharedTls(lambda: now)
    first = shared.of(ENDPOINT)
    now = 3599.0
    assert shared.of(ENDPOINT) is first
    now = 3600.0
    assert shared.of(ENDPOINT) is not first


def test_who_asks_for_a_context_may_change_it() -> None:
    # An HTTP client sets its own protocols (ALPN) on the context that it is given.
    assert tls_context(ca_file=None, verify=True) is not tls_context(ca_file=None, verify=True)
