"""What is stored can be read again: the same format, older ones, never a newer one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import pytest

from perene.crypto import KeyPair
from perene.signal import (
    DuplicateMessage,
    Encrypted,
    InvalidRecord,
    LocalIdentity,
    NewerRecord,
    Ratchet,
    SenderKeyRecord,
    SignedPreKey,
    create_sender_key,
    distribution_message,
    group_decrypt,
    group_encrypt,
    process_distribution,
)
from perene.signal.chain import MAX_SKIPPED
from perene.signal.proto import state_pb2
from perene.signal.ratchet import FORMAT
from tests.unit.signal.parties import Party, acquainted

FILES = sorted((Path(__file__).parent / "golden").glob("format*.json"))


def loaded(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def party(stored: dict[str, Any]) -> Party:
    local = LocalIdentity(
        key_pair=KeyPair.from_private(bytes.fromhex(stored["identity"])),
        registration_id=stored["registration_id"],
    )
    signed = {
        key["id"]: SignedPreKey(
            id=key["id"],
            key_pair=KeyPair.from_private(bytes.fromhex(key["private"])),
            signature=bytes.fromhex(key["signature"]),
        )
        for key in stored["signed"]
    }
    ratchet = Ratchet.parse(bytes.fromhex(stored["ratchet"]))
    return Party(local=local, ratchet=ratchet, signed=signed)


def test_every_format_so_far_has_its_golden_file() -> None:
    assert [loaded(path)["format"] for path in FILES] == list(range(1, FORMAT + 1))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_ratchet_of_an_older_format_goes_on(path: Path) -> None:
    golden = loaded(path)["ratchets"]
    alice, bob = party(golden["alice"]), party(golden["bob"])
    assert bob.ratchet.has_pending_pre_key
    assert bob.ratchet.archived[0].receive_only
    for waiting, plaintext in zip(golden["waiting"], golden["plaintexts"], strict=True):
        kind = cast("Literal['pkmsg', 'msg']", waiting["kind"])
        message = Encrypted(ratchet=Ratchet.empty, kind=kind, data=bytes.fromhex(waiting["data"]))
        assert bob.read(message).decode() == plaintext
        bob.restart()
        with pytest.raises(DuplicateMessage):
            bob.read(message)
    assert bob.read(alice.send(b"still here")) == b"still here"
    assert alice.read(bob.send(b"and so am I")) == b"and so am I"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_sender_key_of_an_older_format_goes_on(path: Path) -> None:
    golden = loaded(path)["sender_keys"]
    sender = SenderKeyRecord.parse(bytes.fromhex(golden["sender"]))
    member = SenderKeyRecord.parse(bytes.fromhex(golden["member"]))
    for index, message in enumerate(golden["messages"]):
        if index == golden["read"]:
            with pytest.raises(DuplicateMessage):
                group_decrypt(member, bytes.fromhex(message))
        else:
            read = group_decrypt(member, bytes.fromhex(message))
            assert read.plaintext.decode() == f"group {index}"
            member = read.record
    assert group_decrypt(member, group_encrypt(sender, b"new").data).plaintext == b"new"


def test_what_is_stored_is_what_was_there() -> None:
    alice, bob = acquainted()
    for _ in range(7):
        alice.send(b"lost")
    bob.read(alice.send(b"x"))
    bob.start(alice.bundle())
    bob.start(alice.bundle(one_time=False))
    assert Ratchet.parse(bob.ratchet.serialize()) == bob.ratchet
    assert Ratchet.parse(Ratchet.empty.serialize()) == Ratchet.empty
    record = create_sender_key(SenderKeyRecord.empty)
    assert SenderKeyRecord.parse(record.serialize()) == record
    member = process_distribution(SenderKeyRecord.empty, distribution_message(record))
    assert SenderKeyRecord.parse(member.serialize()) == member


def test_a_newer_format_is_refused_by_name() -> None:
    data = state_pb2.RatchetRecord(version=FORMAT + 1).SerializeToString()
    with pytest.raises(NewerRecord):
        Ratchet.parse(data)
    with pytest.raises(NewerRecord):
        SenderKeyRecord.parse(data)


def test_an_unchanged_state_is_not_encoded_again() -> None:
    alice, bob = acquainted()
    archived = bob.ratchet.current
    assert archived is not None
    encoded = archived.encoded()
    bob.start(alice.bundle())
    bob.send(b"x")
    bob.ratchet.serialize()
    assert bob.ratchet.archived[0].encoded() is encoded


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x08\x00", b"\x12\x01x"])
def test_damaged_records_say_so(data: bytes) -> None:
    with pytest.raises(InvalidRecord):
        Ratchet.parse(data)
    with pytest.raises(InvalidRecord):
        SenderKeyRecord.parse(data)


def test_damage_inside_a_record_is_noticed_when_it_is_read() -> None:
    alice, bob = acquainted()
    bob.read(alice.send(b"x"))
    state = bob.ratchet.current
    assert state is not None
    good = state_pb2.RatchetState.FromString(state.encoded())

    def refused(changed: state_pb2.RatchetState) -> None:
        record = state_pb2.RatchetRecord(version=1, current=changed.SerializeToString())
        with pytest.raises(InvalidRecord):
            Ratchet.parse(record.SerializeToString())

    for name in ("remote_identity", "base_key", "root_key", "ratchet_private", "sending_key"):
        changed = state_pb2.RatchetState.FromString(state.encoded())
        setattr(changed, name, b"short")
        refused(changed)
    changed = state_pb2.RatchetState.FromString(state.encoded())
    changed.sending_counter = 1 << 40
    refused(changed)
    changed = state_pb2.RatchetState.FromString(state.encoded())
    changed.receiving.extend([changed.receiving[0]] * 5)
    refused(changed)
    chain = state_pb2.ReceivingChain.FromString(good.receiving[0])
    ahead = b"\xff" * 36
    for skipped in (b"odd", bytes(72), bytes(36 * (MAX_SKIPPED + 1)), ahead):
        chain.skipped = skipped
        changed = state_pb2.RatchetState.FromString(state.encoded())
        changed.receiving[0] = chain.SerializeToString()
        refused(changed)
    changed.receiving[0] = b"\xff"
    refused(changed)
    many = state_pb2.RatchetRecord(version=1, archived=[good.SerializeToString()] * 41)
    with pytest.raises(InvalidRecord):
        Ratchet.parse(many.SerializeToString())
    [key] = create_sender_key(SenderKeyRecord.empty).states
    six = state_pb2.SenderKeyRecord(version=1, states=[key.encoded()] * 6)
    with pytest.raises(InvalidRecord):
        SenderKeyRecord.parse(six.SerializeToString())
    del six.states[0]
    assert len(SenderKeyRecord.parse(six.SerializeToString()).states) == 5
    broken = state_pb2.SenderKeyRecord(version=1, states=[b"\xff"])
    with pytest.raises(InvalidRecord):
        SenderKeyRecord.parse(broken.SerializeToString())


def test_a_value_does_not_keep_the_stored_form_of_another() -> None:
    alice, _ = acquainted()
    state = alice.ratchet.current
    assert state is not None
    state.encoded()
    changed = replace(state, sending_counter=5)
    assert Ratchet.parse(Ratchet(current=changed).serialize()).current == changed
