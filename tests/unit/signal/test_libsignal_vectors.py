"""Conversations recorded between two npm libsignal parties (see tests/node/vectors_signal.cjs)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perene.crypto import KeyPair
from perene.signal import (
    LocalIdentity,
    PreKey,
    PreKeyBundle,
    Ratchet,
    SenderKeyRecord,
    SignedPreKey,
    decrypt_message,
    decrypt_pre_key_message,
    encrypt,
    group_decrypt,
    parse_pre_key_message,
    process_distribution,
    start_outgoing,
)

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parent / "golden" / "libsignal.json").read_text(encoding="utf-8")
)


class Replay:
    """One side of a recorded conversation, played by Perene with the keys that were drawn then."""

    def __init__(self, secrets: dict[str, Any], drawn: list[str]) -> None:
        self.local = LocalIdentity(
            key_pair=_pair(secrets["identity"]), registration_id=secrets["registrationId"]
        )
        self.signed = {
            key["id"]: SignedPreKey(
                id=key["id"], key_pair=_pair(key["private"]), signature=bytes(64)
            )
            for key in secrets["signedPreKeys"]
        }
        self.one_time = {
            key["id"]: PreKey(id=key["id"], key_pair=_pair(key["private"]))
            for key in secrets["preKeys"]
        }
        self.drawn: Iterator[str] = iter(drawn)
        self.ratchet = Ratchet.empty

    def start(self, bundle: dict[str, Any]) -> None:
        self.ratchet = start_outgoing(self.ratchet, _bundle(bundle), self.local)

    def send(self, plaintext: bytes) -> tuple[str, bytes]:
        sent = encrypt(self.ratchet, plaintext, self.local)
        self.ratchet = sent.ratchet
        return sent.kind, sent.data

    def receive(self, kind: str, data: bytes) -> bytes:
        if kind == "msg":
            read = decrypt_message(self.ratchet, data, self.local)
        else:
            parsed = parse_pre_key_message(data)
            read = decrypt_pre_key_message(
                self.ratchet,
                parsed,
                self.local,
                signed_pre_key=self.signed[parsed.signed_pre_key_id],
                pre_key=self.one_time.get(parsed.pre_key_id or 0),
            )
        self.ratchet = Ratchet.parse(read.ratchet.serialize())
        return read.plaintext


@pytest.mark.parametrize("side", ["alice", "bob"])
@pytest.mark.parametrize(
    "talk", VECTORS["conversations"], ids=lambda talk: str(talk["name"]).replace(" ", "-")
)
def test_perene_sends_the_same_bytes_and_reads_the_same_texts(
    talk: dict[str, Any], side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay = Replay(talk["secrets"][side], talk["drawn"][side])
    monkeypatch.setattr(KeyPair, "generate", lambda: _pair(next(replay.drawn)))
    for event in talk["events"]:
        if event["by"] != side:
            continue
        match event["do"]:
            case "start":
                replay.start(event["bundle"])
            case "send":
                kind, data = replay.send(bytes.fromhex(event["plaintext"]))
                assert (kind, data.hex()) == (event["kind"], event["data"])
            case _:
                sent = talk["events"][event["event"]]
                plaintext = replay.receive(sent["kind"], bytes.fromhex(sent["data"]))
                assert plaintext.hex() == sent["plaintext"]


@pytest.mark.parametrize("order", ["forwards", "backwards"])
def test_perene_reads_sender_keys_of_baileys_in_any_order(order: str) -> None:
    keys = VECTORS["sender_keys"]
    record = process_distribution(SenderKeyRecord.empty, bytes.fromhex(keys["distribution"]))
    messages = keys["messages"] if order == "forwards" else reversed(keys["messages"])
    for message in messages:
        read = group_decrypt(record, bytes.fromhex(message["data"]))
        assert read.plaintext.hex() == message["plaintext"]
        record = SenderKeyRecord.parse(read.record.serialize())


def test_a_later_distribution_of_baileys_reads_the_messages_after_it() -> None:
    keys = VECTORS["sender_keys"]
    record = process_distribution(SenderKeyRecord.empty, bytes.fromhex(keys["later"]["data"]))
    for message in keys["messages"][keys["later"]["from"] :]:
        read = group_decrypt(record, bytes.fromhex(message["data"]))
        assert read.plaintext.hex() == message["plaintext"]
        record = read.record


def _pair(private: str) -> KeyPair:
    return KeyPair.from_private(bytes.fromhex(private))


def _bundle(bundle: dict[str, Any]) -> PreKeyBundle:
    one_time = bundle.get("preKey")
    return PreKeyBundle(
        registration_id=bundle["registrationId"],
        identity=bytes.fromhex(bundle["identity"]),
        signed_pre_key_id=bundle["signedPreKeyId"],
        signed_pre_key=bytes.fromhex(bundle["signedPreKey"]),
        signed_pre_key_signature=bytes.fromhex(bundle["signature"]),
        pre_key_id=bundle.get("preKeyId"),
        pre_key=bytes.fromhex(one_time) if one_time else None,
    )
