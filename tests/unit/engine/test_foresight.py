"""What is read ahead for a batch of messages: once, in whichever form they name people."""

import pytest

from perene.core.unit import AddressPair
from perene.crypto import KeyPair
from perene.engine.foresight import Foresight
from perene.engine.stage import Stage
from perene.signal.messages import PreKeyMessage, build_pre_key_message
from perene.wire.node import Node
from tests.support.units import GROUP, LID, OTHER_LID, PN
from tests.unit.engine.fakes import MemoryStore

DEVICE = {PN: PN.replace("@", ":3@"), LID: LID.replace("@", ":3@")}
RATCHET = f"{LID.partition('@')[0]}_1.3"
NUMBER, OTHER_NUMBER = (lid.partition("@")[0] for lid in (PN, PN.replace("1@", "2@")))


def first_contact(key_id: int | None, *, tag: str = "enc", kind: str = "pkmsg") -> Node:
    """Return a message of somebody whose ratchet begins with this one-time key of ours."""
    public = KeyPair.generate().public
    begun = PreKeyMessage(
        registration_id=1,
        pre_key_id=key_id,
        signed_pre_key_id=1,
        base_key=public,
        identity=public,
        message=b"sealed",
    )
    sealed = Node(tag, {"v": "2", "type": kind}, build_pre_key_message(begun))
    return Node("message", {"from": DEVICE[LID]}, (sealed,))


@pytest.mark.parametrize(
    "named",
    [
        {"from": DEVICE[LID]},
        {"from": DEVICE[LID], "sender_pn": PN},
        {"from": DEVICE[PN], "sender_lid": LID},
        {"from": GROUP, "participant": DEVICE[LID]},
        {"from": GROUP, "participant": DEVICE[LID], "participant_pn": PN},
        {"from": GROUP, "participant": DEVICE[PN], "participant_lid": LID},
    ],
)
async def test_a_ratchet_is_found_at_hand_however_its_device_is_named(
    stage: Stage, store: MemoryStore, named: dict[str, str]
) -> None:
    await Foresight(stage).look([Node("message", named), Node("message", named)])
    assert set(stage.ratchets) == {RATCHET}
    assert store.reads == ["ratchets"]


async def test_a_known_persons_number_is_enough(stage: Stage, store: MemoryStore) -> None:
    store.pairs.append(AddressPair(pn=PN, lid=LID))
    await Foresight(stage).look([Node("message", {"from": GROUP, "participant": DEVICE[PN]})])
    assert set(stage.ratchets) == {RATCHET}


@pytest.mark.parametrize("sender", ["", GROUP, "@s.whatsapp.net", "status@broadcast", "no address"])
async def test_who_is_nobody_is_passed_over(stage: Stage, store: MemoryStore, sender: str) -> None:
    await Foresight(stage).look([Node("message", {"from": sender})])
    assert not stage.ratchets


async def test_all_one_time_keys_of_a_batch_are_read_at_once(
    stage: Stage, store: MemoryStore
) -> None:
    store.pre_key_rows |= {7: b"seven", 8: b"eight", 9: b"nine"}
    broken = Node("message", {"from": DEVICE[LID]}, (Node("enc", {"type": "pkmsg"}, b"\x33\xff"),))
    await Foresight(stage).look(
        [broken, first_contact(7), first_contact(None), first_contact(8), Node("message", {})]
    )
    assert store.reads == ["ratchets", "pre_keys"]
    assert (await stage.pre_key(7), await stage.pre_key(8)) == (b"seven", b"eight")
    assert store.reads == ["ratchets", "pre_keys"], "they are at hand"
    assert await stage.pre_key(9) == b"nine"
    assert store.reads[2:] == ["pre_keys"], "nobody asked for that one before"


@pytest.mark.parametrize(
    "message",
    [
        first_contact(None),
        first_contact(7, kind="msg"),
        first_contact(7, tag="plaintext"),
        Node("message", {"from": DEVICE[LID]}),
    ],
)
async def test_what_names_no_one_time_key_costs_no_look_for_one(
    stage: Stage, store: MemoryStore, message: Node
) -> None:
    store.pre_key_rows[7] = b"seven"
    await Foresight(stage).look([message])
    assert store.reads == ["ratchets"]


async def test_of_who_is_seen_under_a_new_number_all_that_is_kept_under_it_is_known(
    stage: Stage, store: MemoryStore
) -> None:
    """What was kept under the number moves to the LID; of a stranger there is nothing to move."""
    acquainted = Node("message", {"from": DEVICE[LID], "sender_pn": PN})
    store.ratchet_rows[f"{OTHER_NUMBER}.0"] = b"begun under the number"
    returned = Node("message", {"from": OTHER_LID, "sender_pn": f"{OTHER_NUMBER}@s.whatsapp.net"})
    await Foresight(stage).look([acquainted, returned])
    assert (stage.is_stranger(NUMBER), stage.is_stranger(OTHER_NUMBER)) == (True, False)
    assert set(stage.ratchets) == {RATCHET, f"{OTHER_LID.partition('@')[0]}_1.0"}


async def test_of_a_pair_that_is_known_only_the_ratchet_is_read(
    stage: Stage, store: MemoryStore
) -> None:
    stage.book.learn([AddressPair(pn=PN, lid=LID)])
    await Foresight(stage).look([Node("message", {"from": DEVICE[LID], "sender_pn": PN})])
    assert set(stage.ratchets) == {RATCHET}
    assert not stage.is_stranger(NUMBER)


async def test_two_numbers_or_two_lids_are_no_pair(stage: Stage, store: MemoryStore) -> None:
    store.pairs.append(AddressPair(pn=PN, lid=LID))
    other = f"{OTHER_NUMBER}@s.whatsapp.net"
    await Foresight(stage).look(
        [
            Node("message", {"from": DEVICE[PN], "sender_pn": other}),
            Node("message", {"from": OTHER_LID, "sender_lid": LID}),
        ]
    )
    assert set(stage.ratchets) == {RATCHET, f"{OTHER_LID.partition('@')[0]}_1.0"}
    assert not stage.is_stranger(NUMBER)
    assert not stage.is_stranger(OTHER_NUMBER)
