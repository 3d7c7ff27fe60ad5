"""Addresses, padding and errors."""

import pytest

from perene.signal import (
    Address,
    InvalidAddress,
    InvalidPadding,
    NewerRecord,
    SignalError,
    UnknownPreKey,
    errors,
    pad,
    unpad,
)


@pytest.mark.parametrize("text", ["15550001.0", "15550001_1.33", "a.b.4294967295"])
def test_an_address_reads_what_it_writes(text: str) -> None:
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", ".", "a", "a.", ".1", "a.-1", "a.01", "a.x", "a.4294967296", "a.1 ", "a.²"]
)
def test_a_text_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress):
        Address.parse(text)


def test_padding_comes_off_again() -> None:
    assert pad(b"text", 3) == b"text\x03\x03\x03"
    assert unpad(pad(b"text")) == b"text"
    assert unpad(pad(b"", 16)) == b""
    lengths = {len(pad(b"")) for _ in range(500)}
    assert lengths <= set(range(1, 16))
    assert len(lengths) > 5


def test_version_3_payloads_have_no_padding() -> None:
    assert unpad(b"as it is", 3) == b"as it is"


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x02", b"x\x01\x02", b"\x03\x02\x03"])
def test_a_plaintext_without_its_padding_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidPadding):
        unpad(data)


def test_every_error_has_a_code_of_its_own() -> None:
    leaves = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, SignalError)
    ]
    assert len({leaf.code for leaf in leaves}) == len(leaves)
    assert str(UnknownPreKey(7)) == "one-time pre-key 7 is not available"
    assert NewerRecord(9).version == 9
