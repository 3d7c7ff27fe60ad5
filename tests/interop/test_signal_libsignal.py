"""Perene and npm libsignal (with Baileys' group cipher) talk to each other, live."""

import json
import random
import subprocess
from collections.abc import Iterator
from typing import Any, Literal, cast

import pytest

from perene.signal import (
    Encrypted,
    PreKeyBundle,
    Ratchet,
    SenderKeyRecord,
    create_sender_key,
    distribution_message,
    group_decrypt,
    group_encrypt,
    process_distribution,
)
from tests.interop.node import node_command
from tests.unit.signal.parties import Party

_STOP_S = 10


class Oracle:
    """A Signal party in Node, asked one thing at a time."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            node_command("signal_oracle.cjs"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )

    def ask(self, what: str, *args: object) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": what, "args": args}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise AssertionError(f"libsignal refused to {what}: {answer['error']}")
        return answer["result"]

    def bundle(self) -> PreKeyBundle:
        given: dict[str, Any] = self.ask("bundle", {})
        return PreKeyBundle(
            registration_id=given["registrationId"],
            identity=bytes.fromhex(given["identity"]),
            signed_pre_key_id=given["signedPreKeyId"],
            signed_pre_key=bytes.fromhex(given["signedPreKey"]),
            signed_pre_key_signature=bytes.fromhex(given["signature"]),
            pre_key_id=given["preKeyId"],
            pre_key=bytes.fromhex(given["preKey"]),
        )

    def start(self, bundle: PreKeyBundle) -> None:
        assert bundle.pre_key is not None
        self.ask(
            "start",
            "perene",
            {
                "registrationId": bundle.registration_id,
                "identity": bundle.identity.hex(),
                "signedPreKeyId": bundle.signed_pre_key_id,
                "signedPreKey": bundle.signed_pre_key.hex(),
                "signature": bundle.signed_pre_key_signature.hex(),
                "preKeyId": bundle.pre_key_id,
                "preKey": bundle.pre_key.hex(),
            },
        )

    def send(self, plaintext: bytes) -> Encrypted:
        sent = self.ask("encrypt", "perene", plaintext.hex())
        kind = cast("Literal['pkmsg', 'msg']", sent["kind"])
        return Encrypted(ratchet=Ratchet.empty, kind=kind, data=bytes.fromhex(sent["data"]))

    def read(self, message: Encrypted) -> bytes:
        return bytes.fromhex(self.ask("decrypt", "perene", message.kind, message.data.hex()))

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(_STOP_S)
        self.process.stdout.close()


@pytest.fixture
def oracle() -> Iterator[Oracle]:
    party = Oracle()
    yield party
    party.close()


@pytest.mark.parametrize("starter", ["perene", "libsignal"])
@pytest.mark.parametrize("seed", [1, 2])
def test_100_interleaved_messages_arrive_in_both_directions(
    oracle: Oracle, starter: str, seed: int
) -> None:
    chance = random.Random(seed)
    perene = Party()
    if starter == "perene":
        perene.start(oracle.bundle())
        assert oracle.read(perene.send(b"begin")) == b"begin"
    else:
        oracle.start(perene.bundle())
        assert perene.read(oracle.send(b"begin")) == b"begin"
    under_way: list[tuple[str, bytes, Encrypted]] = []
    for number in range(100):
        text = b"message %d" % number
        if chance.random() < 0.5:
            under_way.append(("libsignal", text, perene.send(text)))
        else:
            under_way.append(("perene", text, oracle.send(text)))
        while under_way and chance.random() < 0.5:
            _deliver(under_way, chance, perene, oracle)
        if chance.random() < 0.1:
            perene.restart()
            oracle.ask("restart")
    while under_way:
        _deliver(under_way, chance, perene, oracle)
    assert perene.ratchet.current is not None
    assert perene.ratchet.current.skipped_count == 0


def test_both_may_begin_again_with_a_fresh_bundle(oracle: Oracle) -> None:
    perene = Party()
    for text in (b"first", b"second"):
        perene.start(oracle.bundle())
        assert oracle.read(perene.send(text)) == text
        assert perene.read(oracle.send(text)) == text
        oracle.start(perene.bundle())
        assert perene.read(oracle.send(text)) == text
        assert oracle.read(perene.send(text)) == text


def test_group_messages_arrive_in_both_directions(oracle: Oracle) -> None:
    own = create_sender_key(SenderKeyRecord.empty)
    oracle.ask("groupProcess", "perene", distribution_message(own).hex())
    theirs = bytes.fromhex(oracle.ask("groupDistribution", "libsignal"))
    record = process_distribution(SenderKeyRecord.empty, theirs)
    ours: list[tuple[bytes, bytes]] = []
    for number in range(8):
        text = b"to the group %d" % number
        sent = group_encrypt(own, text)
        own = sent.record
        ours.append((text, sent.data))
    for place in (3, 0, 7, 1, 2, 6, 5, 4):
        text, data = ours[place]
        assert bytes.fromhex(oracle.ask("groupDecrypt", "perene", data.hex())) == text
        data = bytes.fromhex(oracle.ask("groupEncrypt", "libsignal", text.hex()))
        read = group_decrypt(record, data)
        assert read.plaintext == text
        record = read.record


def _deliver(
    under_way: list[tuple[str, bytes, Encrypted]],
    chance: random.Random,
    perene: Party,
    oracle: Oracle,
) -> None:
    receiver, text, message = under_way.pop(chance.randrange(len(under_way)))
    read = perene.read(message) if receiver == "perene" else oracle.read(message)
    assert read == text
