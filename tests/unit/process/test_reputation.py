"""An address that takes connections and carries nothing comes last, until others are worse."""

import asyncio
import contextlib
import socket
import ssl

import pytest

from perene.process.dialling import Address
from perene.process.reputation import Place, Reputation, place_of

SIX, OTHER_SIX = (
    (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (f"2001:db8::{number}", 443, 0, 0))
    for number in (1, 2)
)
FOUR, OTHER_FOUR = (
    (socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"192.0.2.{number}", 443)) for number in (1, 2)
)
ALL: list[Address] = [SIX, FOUR, OTHER_SIX, OTHER_FOUR]


def place(address: Address) -> Place:
    return address[0], address[4][0]


def try_at(reputation: Reputation, address: Address, error: BaseException | None = None) -> None:
    with contextlib.suppress(OSError, asyncio.CancelledError), reputation.learning(place(address)):
        if error is not None:
            raise error


def test_nothing_is_distrusted_without_a_reason() -> None:
    assert Reputation().in_order(ALL) == (ALL, [])


@pytest.mark.parametrize("error", [TimeoutError(), ConnectionResetError(), ssl.SSLError()])
def test_a_family_is_distrusted_with_its_address(error: OSError) -> None:
    reputation = Reputation()
    try_at(reputation, SIX, error)
    assert reputation.in_order(ALL) == ([FOUR, OTHER_FOUR], [OTHER_SIX, SIX])


def test_only_what_has_failed_itself_is_not_trusted() -> None:
    reputation = Reputation()
    try_at(reputation, SIX, TimeoutError())
    assert [reputation.trusts(place(one)) for one in (SIX, OTHER_SIX, FOUR)] == [False, True, True]


def test_in_a_single_family_only_the_address_is_distrusted() -> None:
    reputation = Reputation()
    try_at(reputation, FOUR, TimeoutError())
    assert reputation.in_order([FOUR, OTHER_FOUR]) == ([OTHER_FOUR], [FOUR])


def test_who_failed_last_comes_last() -> None:
    reputation = Reputation()
    for address in (SIX, FOUR, SIX, FOUR, SIX):
        try_at(reputation, address, TimeoutError())
    assert reputation.in_order([SIX, FOUR]) == ([], [FOUR, SIX])
    try_at(reputation, FOUR, TimeoutError())
    assert reputation.in_order([SIX, FOUR]) == ([], [SIX, FOUR])


@pytest.mark.parametrize("error", [None, ssl.SSLCertVerificationError()])
def test_what_has_carried_a_certificate_is_trusted_again(
    error: OSError | None,
) -> None:
    reputation = Reputation()
    try_at(reputation, SIX, TimeoutError())
    try_at(reputation, SIX, error)
    assert reputation.in_order(ALL) == (ALL, [])


def test_who_gives_up_early_has_learned_nothing() -> None:
    reputation = Reputation()
    try_at(reputation, SIX, asyncio.CancelledError())
    assert reputation.in_order(ALL) == (ALL, [])


def test_who_has_waited_long_has_learned_something() -> None:
    reputation = Reputation(telling_s=0)
    try_at(reputation, SIX, asyncio.CancelledError())
    assert reputation.in_order([SIX, FOUR]) == ([FOUR], [SIX])


def test_addresses_that_come_and_go_do_not_pile_up() -> None:
    reputation = Reputation()
    try_at(reputation, OTHER_FOUR, TimeoutError())
    for number in range(300):
        with (
            contextlib.suppress(TimeoutError),
            reputation.learning((socket.AF_INET, f"10.0.0.{number}")),
        ):
            raise TimeoutError
    assert reputation.in_order([FOUR, OTHER_FOUR]) == ([FOUR, OTHER_FOUR], [])


def test_a_socket_without_another_side_has_no_place() -> None:
    reputation = Reputation()
    with socket.socket() as one:
        assert place_of(one) is None
        with pytest.raises(TimeoutError), reputation.learning(place_of(one)):
            raise TimeoutError
    assert reputation.in_order(ALL) == (ALL, [])
