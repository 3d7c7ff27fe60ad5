"""Key pairs: agreement, and XEdDSA signatures of our own and of other implementations."""

import json
from pathlib import Path

import pytest

from perene.crypto import BadKey, KeyPair, verify

# RFC 7748 §6.1
ALICE_PUBLIC = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
BOB = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
BOB_PUBLIC = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
SHARED = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"


def test_agreement_is_that_of_the_rfc() -> None:
    bob = KeyPair.from_private(BOB)
    assert bob.public.hex() == BOB_PUBLIC
    assert bob.agree(ALICE_PUBLIC).hex() == SHARED


def test_both_sides_agree_on_one_secret() -> None:
    one, other = KeyPair.generate(), KeyPair.generate()
    assert one.agree(other.public) == other.agree(one.public)


@pytest.mark.parametrize("public", [b"", bytes(31), bytes(33), bytes(32), b"\x01" + bytes(31)])
def test_a_public_key_that_yields_no_secret_is_refused(public: bytes) -> None:
    with pytest.raises(BadKey):
        KeyPair.generate().agree(public)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_private_key_has_32_bytes(size: int) -> None:
    with pytest.raises(BadKey):
        KeyPair.from_private(bytes(size))


def test_a_private_key_is_not_shown() -> None:
    pair = KeyPair.from_private(BOB)
    assert BOB.hex() not in repr(pair)
    assert repr(BOB) not in repr(pair)


def test_a_signature_is_verified_with_the_public_key_only_for_its_message() -> None:
    for _ in range(20):  # the sign of the Edwards point is a coin toss
        pair = KeyPair.generate()
        signature = pair.sign(b"message")
        assert len(signature) == 64
        assert verify(pair.public, b"message", signature)
        assert not verify(pair.public, b"massage", signature)
        assert not verify(KeyPair.generate().public, b"message", signature)
        assert pair.sign(b"message") != signature


def test_a_private_key_that_is_not_clamped_signs_too() -> None:
    pair = KeyPair.from_private(b"\xff" * 32)
    assert verify(pair.public, b"m", pair.sign(b"m"))


def test_signatures_of_another_implementation_are_verified_whatever_the_sign() -> None:
    vectors: dict[str, list[dict[str, str]]] = json.loads(
        (Path(__file__).parent / "golden" / "xeddsa.json").read_text("utf-8")
    )
    cases = [
        {name: bytes.fromhex(value) for name, value in case.items()} for case in vectors["cases"]
    ]
    assert {case["signature"][63] >> 7 for case in cases} == {0, 1}
    for case in cases:
        assert verify(case["public"], case["message"], case["signature"])
        assert not verify(case["public"], case["message"] + b"!", case["signature"])


@pytest.mark.parametrize("place", [0, 31, 32, 63])
def test_a_changed_signature_is_not_valid(place: int) -> None:
    pair = KeyPair.generate()
    signature = bytearray(pair.sign(b"m"))
    signature[place] ^= 0x40
    assert not verify(pair.public, b"m", bytes(signature))


@pytest.mark.parametrize(
    ("public", "signature"),
    [
        (b"", bytes(64)),
        (bytes(31), bytes(64)),
        (bytes(32), bytes(64)),
        (b"\xff" * 32, b"\xff" * 64),
        (bytes(32), b""),
        (bytes(32), bytes(65)),
    ],
)
def test_ill_formed_keys_and_signatures_are_simply_not_valid(
    public: bytes, signature: bytes
) -> None:
    assert verify(public, b"m", signature) is False
