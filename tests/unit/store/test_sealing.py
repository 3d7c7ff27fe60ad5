"""Sealed values: the layout that is documented, and no other."""

import pytest

from perene.core.errors import UnreadableState
from perene.crypto import gcm_decrypt
from perene.store.sealing import generation_of, seal, unseal

KEY = b"k" * 32
ROW = b"the row"


def test_a_sealed_value_has_the_layout_that_is_documented() -> None:
    blob = seal(KEY, 0x0102, ROW, b"secret")
    assert blob[:3] == b"\1\1\2"
    assert gcm_decrypt(KEY, blob[3:15], blob[15:], ROW) == b"secret"
    assert len(blob) == 3 + 12 + len(b"secret") + 16
    assert generation_of(blob) == 0x0102


def test_no_two_values_are_sealed_alike() -> None:
    assert len({seal(KEY, 1, ROW, b"same")[3:15] for _ in range(100)}) == 100


@pytest.mark.parametrize("value", [b"", b"v", b"value" * 1000])
def test_a_value_of_any_length_opens(value: bytes) -> None:
    assert unseal(KEY, ROW, seal(KEY, 1, ROW, value)) == value


def test_what_is_cut_short_or_of_another_format_or_changed_does_not_open() -> None:
    blob = seal(KEY, 1, ROW, b"v")
    flipped = [
        blob[:place] + bytes((blob[place] ^ 1,)) + blob[place + 1 :]
        for place in (0, *range(3, len(blob)))
    ]
    for harmed in (b"", *(blob[:end] for end in range(len(blob))), *flipped):
        with pytest.raises(UnreadableState):
            unseal(KEY, ROW, harmed)
    with pytest.raises(UnreadableState, match="unknown format 2"):
        generation_of(b"\2" + blob[1:])
