"""Addresses: text to parts and back, and the names they have in Signal."""

import pytest

from perene.wire.errors import JidError
from perene.wire.jid import Jid, is_server_jid, signal_name


@pytest.mark.parametrize(
    ("text", "jid"),
    [
        ("5511999998888@s.whatsapp.net", Jid("5511999998888", "s.whatsapp.net")),
        ("5511999998888:3@s.whatsapp.net", Jid("5511999998888", "s.whatsapp.net", 3)),
        ("123456789012345@lid", Jid("123456789012345", "lid")),
        ("123456789012345:99@hosted.lid", Jid("123456789012345", "hosted.lid", 99)),
        ("120363025246125486@g.us", Jid("120363025246125486", "g.us")),
        ("5511-1600000000@g.us", Jid("5511-1600000000", "g.us")),
        ("status@broadcast", Jid("status", "broadcast")),
        ("7-1234:5@interop", Jid("7-1234", "interop", 5)),
        ("@s.whatsapp.net", Jid("", "s.whatsapp.net")),
    ],
)
def test_an_address_is_what_its_text_says_and_back(text: str, jid: Jid) -> None:
    assert Jid.parse(text) == jid
    assert str(jid) == text


def test_device_zero_and_a_bare_server_have_a_shorter_text() -> None:
    assert str(Jid.parse("5511:0@s.whatsapp.net")) == "5511@s.whatsapp.net"
    assert Jid.parse("s.whatsapp.net") == Jid("", "s.whatsapp.net")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "abc",
        "a@b@lid",
        "a@",
        "a b@lid",
        "1:x@lid",
        "1:-1@lid",
        "1:65536@lid",
        "1:2:3@lid",
        "1:@lid",
        "1@LID",
        "1@lid\n",
        "1:\u0663@lid",  # a digit, but not one of ours
        "1" * 300 + "@lid",
    ],
)
def test_any_other_text_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(JidError) as caught:
        Jid.parse(text)
    assert not text or len(text) < 4 or text not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("1@s.whatsapp.net", {"is_pn"}),
        ("@s.whatsapp.net", {"is_server"}),
        ("1:2@lid", {"is_lid"}),
        ("@lid", {"is_server"}),
        ("1@g.us", {"is_group"}),
        ("status@broadcast", {"is_status", "is_broadcast"}),
        ("1600@broadcast", {"is_broadcast"}),
        ("1@newsletter", {"is_newsletter"}),
        ("1@hosted", {"is_hosted"}),
        ("1@hosted.lid", {"is_hosted"}),
    ],
)
def test_an_address_knows_its_kind(text: str, kinds: set[str]) -> None:
    jid = Jid.parse(text)
    names = [name for name in dir(Jid) if name.startswith("is_")]
    assert {name for name in names if getattr(jid, name)} == kinds


def test_a_device_has_a_user_and_siblings() -> None:
    device = Jid.parse("1:2@lid")
    assert device.bare == Jid("1", "lid")
    assert device.bare.bare is device.bare or device.bare.bare == device.bare
    assert device.with_device(7) == Jid("1", "lid", 7)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("1:2@s.whatsapp.net", "1"),
        ("1:2@lid", "1_1"),
        ("1:99@hosted", "1_128"),
        ("1:99@hosted.lid", "1_129"),
        ("1@g.us", "1"),
    ],
)
def test_signal_names_tell_numbers_from_lids(text: str, name: str) -> None:
    assert signal_name(Jid.parse(text)) == name


def test_the_server_goes_by_two_texts() -> None:
    assert is_server_jid("@s.whatsapp.net")
    assert is_server_jid("s.whatsapp.net")
    assert not is_server_jid("1@s.whatsapp.net")
