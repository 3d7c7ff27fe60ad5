"""When the server's word about who has a message makes us ask for the devices anew."""

from perene.core.ids import MessageId
from perene.engine.device_hashes import DeviceHashes, participant_hash
from perene.wire.jid import Jid
from tests.unit.engine.desk import ANA

DEVICES = [Jid.parse(text) for text in ("2@lid", "15:7@lid", "15@lid")]
OURS, THEIRS, OTHERS = "2:aaaaaaaa", "2:bbbbbbbb", "2:cccccccc"


def asked(hashes: DeviceHashes, theirs: str | None, *, ours: str = OURS, chat: str = ANA) -> bool:
    """Send a message and have it answered."""
    hashes.sent(MessageId("M1"), ours)
    return hashes.is_outdated(MessageId("M1"), chat, theirs)


def test_the_hash_of_nobody_is_the_one_in_the_dictionary_of_the_wire() -> None:
    assert participant_hash([]) == "2:47DEQpj8"


def test_a_hash_is_of_the_full_addresses_in_any_order() -> None:
    assert participant_hash(DEVICES) == participant_hash(reversed(DEVICES)) == "2:DaSCJR1H"


def test_an_answer_without_a_hash_or_with_ours_says_that_all_have_it() -> None:
    assert not asked(DeviceHashes(), None)
    assert not asked(DeviceHashes(), OURS)


def test_a_hash_for_a_message_of_which_nothing_is_known_says_nothing() -> None:
    assert not DeviceHashes().is_outdated(MessageId("M1"), ANA, THEIRS)


def test_what_is_remembered_of_messages_and_chats_has_an_end() -> None:
    hashes = DeviceHashes()
    for number in range(1025):
        hashes.sent(MessageId(f"M{number}"), OURS)
    assert [
        hashes.is_outdated(MessageId(f"M{number}"), f"chat {number}", THEIRS)
        for number in range(1025)
    ] == [False] + [True] * 1024
    assert not asked(hashes, THEIRS, chat="chat 1")
    assert asked(hashes, THEIRS, chat="chat 0")
    assert asked(hashes, THEIRS, chat="chat 1")


def test_the_devices_are_asked_for_again_only_when_something_has_changed() -> None:
    """Else a server that counts in another way than we do would be asked for each message."""
    hashes = DeviceHashes()
    assert asked(hashes, THEIRS)
    assert not asked(hashes, THEIRS)
    assert asked(hashes, THEIRS, chat="another chat")
    assert asked(hashes, OTHERS)
    assert asked(hashes, OTHERS, ours="2:dddddddd")
