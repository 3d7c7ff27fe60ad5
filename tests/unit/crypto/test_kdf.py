"""Key derivation against the vectors of its specifications."""

import pytest

from perene.crypto import hkdf, hmac_sha256, pbkdf2, same


@pytest.mark.parametrize(
    ("ikm", "salt", "info", "length", "output"),
    [  # RFC 5869 A.1 and A.3
        (
            "0b" * 22,
            "000102030405060708090a0b0c",
            "f0f1f2f3f4f5f6f7f8f9",
            42,
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            "0b" * 22,
            "",
            "",
            42,
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ],
)
def test_hkdf_is_that_of_the_rfc(ikm: str, salt: str, info: str, length: int, output: str) -> None:
    derived = hkdf(
        bytes.fromhex(ikm), salt=bytes.fromhex(salt), info=bytes.fromhex(info), length=length
    )
    assert derived.hex() == output


def test_a_longer_output_begins_with_the_shorter() -> None:
    assert hkdf(b"k", info=b"i", length=100)[:33] == hkdf(b"k", info=b"i", length=33)
    assert len(hkdf(b"k", length=8160)) == 8160


def test_hmac_is_that_of_the_rfc() -> None:  # RFC 4231 §4.3
    assert hmac_sha256(b"Jefe", b"what do ya want for nothing?").hex() == (
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )


def test_pbkdf2_is_that_of_the_rfc() -> None:  # RFC 7914 §11
    assert pbkdf2(b"passwd", salt=b"salt", rounds=1, length=64).hex() == (
        "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
        "49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783"
    )


def test_equal_secrets_are_the_same_and_others_are_not() -> None:
    assert same(b"abc", b"abc")
    assert not same(b"abc", b"abd")
    assert not same(b"abc", b"abcd")
