"""Write a golden file of the stored formats: `python -m tests.unit.signal.make_golden`.

Run it once for a new format, and keep the files of the older ones: they prove that records stored
years ago still load, still decrypt what was in flight, and still send.
"""

import json
from pathlib import Path
from typing import Any

from perene.signal import (
    LocalIdentity,
    SenderKeyRecord,
    create_sender_key,
    distribution_message,
    group_decrypt,
    group_encrypt,
    process_distribution,
)
from perene.signal.ratchet import FORMAT
from tests.unit.signal.parties import Party, acquainted

GOLDEN = Path(__file__).parent / "golden"


def ratchets() -> dict[str, Any]:
    """Two parties with an archived state, a pending one, skipped keys and several chains."""
    alice, bob = acquainted()
    archived = alice.send(b"in flight in an archived state")
    alice.start(bob.bundle())
    bob.read(alice.send(b"begin"))
    in_flight = [alice.send(b"pending 0")]
    alice.read(bob.send(b"answer"))
    skipped = [alice.send(b"skipped %d" % index) for index in range(3)]
    bob.read(alice.send(b"after them"))
    bob.ratchet = bob.ratchet.archive_current()
    bob.start(alice.bundle(one_time=False))
    waiting = [archived, *in_flight, *skipped]
    return {
        "bob": stored(bob),
        "alice": stored(alice),
        "waiting": [{"kind": each.kind, "data": each.data.hex()} for each in waiting],
        "plaintexts": ["in flight in an archived state", "pending 0"]
        + [f"skipped {index}" for index in range(3)],
    }


def stored(party: Party) -> dict[str, Any]:
    """One party as it would lie in a database, with its local keys."""
    local: LocalIdentity = party.local
    return {
        "identity": local.key_pair.private.hex(),
        "registration_id": local.registration_id,
        "signed": [
            {
                "id": key.id,
                "private": key.key_pair.private.hex(),
                "signature": key.signature.hex(),
            }
            for key in party.signed.values()
        ],
        "ratchet": party.ratchet.serialize().hex(),
    }


def sender_keys() -> dict[str, Any]:
    """A sender and a member who has skipped two messages."""
    sender = create_sender_key(SenderKeyRecord.empty)
    member = process_distribution(SenderKeyRecord.empty, distribution_message(sender))
    messages: list[bytes] = []
    for index in range(4):
        sent = group_encrypt(sender, b"group %d" % index)
        sender = sent.record
        messages.append(sent.data)
    member = group_decrypt(member, messages[2]).record
    return {
        "sender": sender.serialize().hex(),
        "member": member.serialize().hex(),
        "read": 2,
        "messages": [message.hex() for message in messages],
    }


def main() -> None:
    """Write the file of the current format."""
    golden = {"format": FORMAT, "ratchets": ratchets(), "sender_keys": sender_keys()}
    path = GOLDEN / f"format{FORMAT}.json"
    path.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
