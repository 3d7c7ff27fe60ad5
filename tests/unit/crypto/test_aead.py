"""AES in three modes: round trips, published vectors, and refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perene.crypto import (
    AuthenticationFailed,
    BadKey,
    cbc_decrypt,
    cbc_encrypt,
    ctr_crypt,
    gcm_decrypt,
    gcm_encrypt,
)

KEY = bytes(range(32))
NONCE = bytes(12)
IV = bytes(range(16))


def test_gcm_is_that_of_its_specification() -> None:
    # "The Galois/Counter Mode of Operation", McGrew and Viega, test case 14
    assert gcm_encrypt(bytes(32), NONCE, bytes(16)).hex() == (
        "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"
    )


@given(st.binary(max_size=100), st.binary(max_size=20))
def test_what_gcm_seals_it_opens(plaintext: bytes, aad: bytes) -> None:
    assert gcm_decrypt(KEY, NONCE, gcm_encrypt(KEY, NONCE, plaintext, aad), aad) == plaintext


@pytest.mark.parametrize("place", [0, 5, -1])
def test_gcm_refuses_a_changed_ciphertext(place: int) -> None:
    sealed = bytearray(gcm_encrypt(KEY, NONCE, b"plaintext", b"aad"))
    sealed[place] ^= 1
    with pytest.raises(AuthenticationFailed):
        gcm_decrypt(KEY, NONCE, bytes(sealed), b"aad")


def test_gcm_refuses_other_data_another_key_and_no_tag() -> None:
    sealed = gcm_encrypt(KEY, NONCE, b"plaintext", b"aad")
    for key, ciphertext, aad in (
        (KEY, sealed, b"dda"),
        (bytes(32), sealed, b"aad"),
        (KEY, sealed[:15], b"aad"),
        (KEY, b"", b"aad"),
    ):
        with pytest.raises(AuthenticationFailed):
            gcm_decrypt(key, NONCE, ciphertext, aad)


def test_gcm_refuses_a_key_of_the_wrong_length() -> None:
    with pytest.raises(BadKey):
        gcm_encrypt(bytes(31), NONCE, b"")


def test_cbc_is_that_of_its_specification() -> None:  # NIST SP 800-38A, F.2.5
    key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    block = bytes.fromhex("6bc1bee22e409f96e93d7e117393172a")
    assert cbc_encrypt(key, IV, block)[:16].hex() == "f58c4c04d6e5f1ba779eabfb5f7bfbd6"


@given(st.binary(max_size=100))
def test_what_cbc_encrypts_it_decrypts(plaintext: bytes) -> None:
    sealed = cbc_encrypt(KEY, IV, plaintext)
    assert len(sealed) % 16 == 0
    assert len(sealed) > len(plaintext)
    assert cbc_decrypt(KEY, IV, sealed) == plaintext


@pytest.mark.parametrize("ciphertext", [b"", bytes(15), bytes(17), bytes(16)])
def test_cbc_refuses_what_it_did_not_pad(ciphertext: bytes) -> None:
    with pytest.raises(AuthenticationFailed):
        cbc_decrypt(KEY, IV, ciphertext)


@given(st.binary(max_size=100))
def test_ctr_undoes_itself(data: bytes) -> None:
    assert ctr_crypt(KEY, IV, ctr_crypt(KEY, IV, data)) == data


def test_ctr_is_that_of_its_specification() -> None:  # NIST SP 800-38A, F.5.5
    key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    counter = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    block = bytes.fromhex("6bc1bee22e409f96e93d7e117393172a")
    assert ctr_crypt(key, counter, block).hex() == "601ec313775789a5b7a7f504bbf3d228"
