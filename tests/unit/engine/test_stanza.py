"""The envelope of a message: who, where, from whom."""

from datetime import UTC, datetime

import pytest

from perene.core.unit import AddressPair
from perene.engine.stanza import read_envelope, small_number
from perene.wire.errors import WireError
from perene.wire.node import Node
from tests.unit.engine.fakes import OWN_LID, OWN_PN, paired

OWN = paired()
PEER_LID, PEER_PN = "200000000000002@lid", "15550000002@s.whatsapp.net"
GROUP = "120363000000000001@g.us"


def message(**attrs: str) -> Node:
    return Node("message", {"id": "A1", "t": "1700000000", "type": "text"} | attrs)


def sent_by(address: str, **attrs: str) -> Node:
    return message(**{"from": address}, **attrs)


def test_a_message_of_a_contact() -> None:
    found = read_envelope(sent_by("200000000000002:7@lid", notify="Ana", sender_pn=PEER_PN), OWN)
    assert (str(found.chat), str(found.sender)) == (PEER_LID, "200000000000002:7@lid")
    assert (found.from_me, found.is_group, found.push_name) == (False, False, "Ana")
    assert found.timestamp == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert found.pairs == (AddressPair(pn=PEER_PN, lid=PEER_LID),)


def test_the_pair_is_learnt_from_either_side() -> None:
    found = read_envelope(sent_by(PEER_PN, sender_lid=PEER_LID), OWN)
    assert found.pairs == (AddressPair(pn=PEER_PN, lid=PEER_LID),)


@pytest.mark.parametrize(
    ("address", "attrs"),
    [
        (PEER_PN, {"sender_lid": "15550000002@s.whatsapp.net"}),
        (PEER_LID, {"sender_pn": "200000000000009@lid"}),
        (GROUP, {"participant": PEER_LID, "participant_pn": GROUP}),
    ],
)
def test_two_addresses_of_one_form_are_no_pair(address: str, attrs: dict[str, str]) -> None:
    assert read_envelope(sent_by(address, **attrs), OWN).pairs == ()


def test_the_pair_of_a_member_is_learnt_from_either_side() -> None:
    found = read_envelope(sent_by(GROUP, participant=PEER_PN, participant_lid=PEER_LID), OWN)
    assert found.pairs == (AddressPair(pn=PEER_PN, lid=PEER_LID),)


def test_a_post_is_in_and_from_its_channel() -> None:
    channel = "120363000000000009@newsletter"
    found = read_envelope(sent_by(channel, sender_pn=PEER_PN), OWN)
    assert (str(found.chat), str(found.sender)) == (channel, channel)
    assert (found.from_me, found.pairs) == (False, ())


def test_a_group_message() -> None:
    found = read_envelope(
        sent_by(GROUP, participant="200000000000002:1@lid", participant_pn=PEER_PN), OWN
    )
    assert (str(found.chat), str(found.sender)) == (GROUP, "200000000000002:1@lid")
    assert (found.from_me, found.is_group) == (False, True)
    assert found.pairs == (AddressPair(pn=PEER_PN, lid=PEER_LID),)


@pytest.mark.parametrize("own", [OWN_PN.replace(":3", ""), OWN_LID.replace(":3", ":9")])
def test_a_copy_from_an_own_device(own: str) -> None:
    found = read_envelope(sent_by(own, recipient=PEER_LID, peer_recipient_pn=PEER_PN), OWN)
    assert (str(found.chat), found.from_me) == (PEER_LID, True)
    assert found.pairs == (AddressPair(pn=PEER_PN, lid=PEER_LID),)


def test_an_own_message_in_a_group() -> None:
    assert read_envelope(sent_by(GROUP, participant=OWN_LID), OWN).from_me


def test_a_peer_message_is_in_the_chat_with_oneself() -> None:
    found = read_envelope(sent_by(OWN_PN.replace(":3", ""), category="peer"), OWN)
    assert (found.from_me, found.category) == (True, "peer")
    assert found.chat == OWN.own_pn.bare


@pytest.mark.parametrize("address", ["100000000000001@s.whatsapp.net", "15550000001@lid"])
def test_a_stranger_whose_digits_are_ours_is_still_a_stranger(address: str) -> None:
    assert not read_envelope(sent_by(address), OWN).from_me


@pytest.mark.parametrize(
    ("hosted", "sender", "chat"),
    [
        ("15550000002:99@hosted", "15550000002:99@s.whatsapp.net", PEER_PN),
        ("200000000000002:99@hosted.lid", "200000000000002:99@lid", PEER_LID),
    ],
)
def test_a_hosted_device_belongs_to_its_person(hosted: str, sender: str, chat: str) -> None:
    found = read_envelope(sent_by(hosted), OWN)
    assert (str(found.sender), str(found.chat)) == (sender, chat)


@pytest.mark.parametrize("t", ["", "soon", "-1", "1.5", "٣", "9" * 12])
def test_an_odd_time_is_no_time(t: str) -> None:
    assert read_envelope(sent_by(PEER_LID, t=t), OWN).timestamp is None


def test_an_odd_second_address_is_left_out() -> None:
    assert read_envelope(sent_by(PEER_LID, sender_pn="not an address"), OWN).pairs == ()


@pytest.mark.parametrize(
    "stanza",
    [
        Node("message", {"from": PEER_LID}),
        Node("message", {"id": "", "from": PEER_LID}),
        Node("message", {"id": "A" * 129, "from": PEER_LID}),
        Node("message", {"id": "A1"}),
        sent_by("nowhere"),
        sent_by("@s.whatsapp.net"),
        sent_by(GROUP),
        sent_by(GROUP, participant="nobody at all"),
        sent_by(GROUP, participant="@lid"),
        sent_by(OWN_PN, recipient="@lid"),
        sent_by(OWN_PN, recipient="nobody at all"),
    ],
)
def test_a_message_that_names_no_sender_or_chat_is_refused(stanza: Node) -> None:
    with pytest.raises(WireError):
        read_envelope(stanza, OWN)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("99", 99),
        ("100", None),
        ("", None),
        ("-1", None),
        ("9" * 5000, None),
        ("٣", None),
    ],
)
def test_small_numbers(text: str, number: int | None) -> None:
    assert small_number(text, most=99) == number
