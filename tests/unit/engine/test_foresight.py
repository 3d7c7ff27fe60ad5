"""What is read ahead for a batch of messages: once, in whichever form they name people."""

import pytest

from perene.core.unit import AddressPair
from perene.engine.foresight import Foresight
from perene.engine.stage import Stage
from perene.wire.node import Node
from tests.support.units import GROUP, LID, PN
from tests.unit.engine.fakes import MemoryStore

DEVICE = {PN: PN.replace("@", ":3@"), LID: LID.replace("@", ":3@")}
RATCHET = f"{LID.partition('@')[0]}_1.3"


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
