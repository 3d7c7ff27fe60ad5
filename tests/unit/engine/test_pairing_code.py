"""Pairing by a code: the phone's answer must fit what we sent."""

from dataclasses import replace

import pytest

from perene.crypto import KeyPair
from perene.engine.credentials import Credentials
from perene.engine.errors import AnotherPairing, PairingRefused
from perene.engine.pairing_code import CodePairing, displayed, finish, hello, is_about, stage, start
from perene.sim.pairing_code import CodeOffer
from perene.wire.node import Node

REF = b"r" * 24


@pytest.fixture
def own() -> Credentials:
    return Credentials.create()


@pytest.fixture
def pairing() -> CodePairing:
    return replace(start("15550000001"), ref=REF)


def notification(*children: Node) -> Node:
    return Node("notification", {}, (Node("link_code_companion_reg", {}, children),))


def answered(own: Credentials, pairing: CodePairing, code: str | None = None) -> Node:
    """Return what the phone sends after its user has typed a code."""
    offer = CodeOffer.from_hello(hello(pairing, own), ref=REF)
    child = offer.primary_hello(code or displayed(pairing.code), KeyPair.generate())
    return Node("notification", {}, (child,))


def test_a_code_is_eight_characters_that_nobody_mixes_up(pairing: CodePairing) -> None:
    shown = displayed(pairing.code)
    assert (len(shown), shown[4]) == (9, "-")
    assert not set("0IOU") & set(shown)


def test_both_sides_arrive_at_the_same_secret(own: Credentials, pairing: CodePairing) -> None:
    identity = KeyPair.generate()
    offer = CodeOffer.from_hello(hello(pairing, own), ref=REF)
    child = offer.primary_hello(displayed(pairing.code), identity)
    done = finish(pairing, Node("notification", {}, (child,)), own)
    assert offer.open_bundle(done.node, identity) == done.adv_secret
    assert done.adv_secret != own.adv_secret
    assert done.node.attrs == {"jid": "15550000001@s.whatsapp.net", "stage": "companion_finish"}


def test_under_a_wrong_code_they_do_not(own: Credentials, pairing: CodePairing) -> None:
    identity = KeyPair.generate()
    offer = CodeOffer.from_hello(hello(pairing, own), ref=REF)
    child = offer.primary_hello("1111-1111", identity)
    done = finish(pairing, Node("notification", {}, (child,)), own)
    assert offer.open_bundle(done.node, identity) is None


def test_an_answer_to_another_pairing_is_refused(own: Credentials, pairing: CodePairing) -> None:
    with pytest.raises(AnotherPairing):
        finish(replace(pairing, ref=b"other"), answered(own, pairing), own)


@pytest.mark.parametrize(
    "children",
    [
        (),
        (Node("link_code_pairing_ref", {}, REF),),
        (
            Node("link_code_pairing_ref", {}, REF),
            Node("link_code_pairing_wrapped_primary_ephemeral_pub", {}, b"short"),
            Node("primary_identity_pub", {}, b"x" * 32),
        ),
        (
            Node("link_code_pairing_ref", {}, REF),
            Node("link_code_pairing_wrapped_primary_ephemeral_pub", {}, b"x" * 80),
            Node("primary_identity_pub", {}, bytes(32)),
        ),
    ],
    ids=["empty", "no keys", "a short key", "a key that yields no secret"],
)
def test_an_answer_that_makes_no_sense_is_refused(
    own: Credentials, pairing: CodePairing, children: tuple[Node, ...]
) -> None:
    with pytest.raises(PairingRefused):
        finish(pairing, notification(*children), own)


@pytest.mark.parametrize("missing", [None, 0, 1, 2])
def test_the_phone_has_answered_when_all_of_it_is_there(
    own: Credentials, pairing: CodePairing, missing: int | None
) -> None:
    whole = answered(own, pairing)
    [reg] = whole.children
    parts = [part for number, part in enumerate(reg.children) if number != missing]
    for attrs in (reg.attrs, {}):
        told = Node("notification", {}, (Node(reg.tag, attrs, tuple(parts)),))
        assert stage(told) == ("primary_hello" if missing is None else None)


def test_what_else_is_told_of_a_code_has_a_name(pairing: CodePairing) -> None:
    ref = Node("link_code_pairing_ref", {}, REF)
    told = Node("link_code_companion_reg", {"stage": "refresh_code"}, (ref,))
    assert stage(Node("notification", {}, (told,))) == "refresh_code"
    assert is_about(pairing, Node("notification", {}, (told,)))
    assert not is_about(replace(pairing, ref=b"other"), Node("notification", {}, (told,)))
    assert not is_about(pairing, notification())
    assert stage(Node("notification")) is None
    assert not is_about(pairing, Node("notification"))
