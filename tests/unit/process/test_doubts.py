"""An address that takes connections and carries nothing comes last, until others are worse."""

import asyncio
import contextlib
import socket
import ssl

import pytest

from perene.process.dialling import Address
from perene.process.doubts import Doubts, Place, place_of

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


def try_at(doubts: Doubts, address: Address, error: BaseException | None = None) -> None:
    with contextlib.suppress(OSError, asyncio.CancelledError), doubts.learning(place(address)):
        if error is not None:
            raise error


def test_nothing_is_doubted_without_a_reason() -> None:
    assert Doubts().in_order(ALL) == (ALL, [])


@pytest.mark.parametrize("error", [TimeoutError(), ConnectionResetError(), ssl.SSLError()])
def test_a_family_is_doubted_with_its_address(error: OSError) -> None:
    doubts = Doubts()
    try_at(doubts, SIX, error)
    assert doubts.in_order(ALL) == ([FOUR, OTHER_FOUR], [OTHER_SIX, SIX])


def test_only_what_has_failed_itself_is_not_trusted() -> None:
    doubts = Doubts()
    try_at(doubts, SIX, TimeoutError())
    assert [doubts.trusts(place(one)) for one in (SIX, OTHER_SIX, FOUR)] == [False, True, True]


def test_in_a_single_family_only_the_address_is_doubted() -> None:
    doubts = Doubts()
    try_at(doubts, FOUR, TimeoutError())
    assert doubts.in_order([FOUR, OTHER_FOUR]) == ([OTHER_FOUR], [FOUR])


def test_who_failed_last_comes_last() -> None:
    doubts = Doubts()
    for address in (SIX, FOUR, SIX, FOUR, SIX):
        try_at(doubts, address, TimeoutError())
    assert doubts.in_order([SIX, FOUR]) == ([], [FOUR, SIX])
    try_at(doubts, FOUR, TimeoutError())
    assert doubts.in_order([SIX, FOUR]) == ([], [SIX, FOUR])


@pytest.mark.parametrize("error", [None, ssl.SSLCertVerificationError()])
def test_what_has_carried_a_certificate_is_not_doubted_any_more(
    error: OSError | None,
) -> None:
    doubts = Doubts()
    try_at(doubts, SIX, TimeoutError())
    try_at(doubts, SIX, error)
    assert doubts.in_order(ALL) == (ALL, [])


def test_who_gives_up_early_has_learned_nothing() -> None:
    doubts = Doubts()
    try_at(doubts, SIX, asyncio.CancelledError())
    assert doubts.in_order(ALL) == (ALL, [])


def test_who_has_waited_long_has_learned_something() -> None:
    doubts = Doubts(telling_s=0)
    try_at(doubts, SIX, asyncio.CancelledError())
    assert doubts.in_order([SIX, FOUR]) == ([FOUR], [SIX])


def test_addresses_that_come_and_go_do_not_pile_up() -> None:
    doubts = Doubts()
    try_at(doubts, OTHER_FOUR, TimeoutError())
    for number in range(300):
        with (
            contextlib.suppress(TimeoutError),
            doubts.learning((socket.AF_INET, f"10.0.0.{number}")),
        ):
            raise TimeoutError
    assert doubts.in_order([FOUR, OTHER_FOUR]) == ([FOUR, OTHER_FOUR], [])


def test_a_socket_without_another_side_has_no_place() -> None:
    doubts = Doubts()
    with socket.socket() as one:
        assert place_of(one) is None
        with pytest.raises(TimeoutError), doubts.learning(place_of(one)):
            raise TimeoutError
    assert doubts.in_order(ALL) == (ALL, [])
