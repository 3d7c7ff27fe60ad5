"""Nodes that the codec of npm `baileys` wrote and read: see tests/node/vectors_wire.mjs."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from perene.wire.codec import decode, encode
from perene.wire.node import Node

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parent / "golden" / "nodes.json").read_text("utf-8")
)


def node_of(plain: dict[str, Any]) -> Node:
    content: Any = None
    if "children" in plain:
        content = tuple(node_of(child) for child in plain["children"])
    elif "text" in plain:
        content = plain["text"]
    elif "hex" in plain:
        content = bytes.fromhex(plain["hex"])
    elif "repeated" in plain:
        cycle = bytes.fromhex(plain["repeated"])
        content = (cycle * (plain["length"] // len(cycle) + 1))[: plain["length"]]
    return Node(plain["tag"], plain["attrs"], content)


def name_of(case: dict[str, Any]) -> str:
    node = case.get("node") or case["read"]
    return f"{node['tag']}-{'-'.join(node['attrs'].values())}"[:40]


@pytest.mark.requirement("F8")
@pytest.mark.parametrize("case", GOLDEN["encoded"], ids=name_of)
def test_writes_the_very_bytes_that_baileys_writes(case: dict[str, Any]) -> None:
    written = encode(node_of(case["node"]))
    wire = case["wire"]
    if "hex" in wire:
        assert written.hex() == wire["hex"]
    else:
        assert len(written) == wire["length"]
        assert hashlib.sha256(written).hexdigest() == wire["sha256"]


@pytest.mark.requirement("F8")
@pytest.mark.parametrize("case", GOLDEN["encoded"], ids=name_of)
def test_reads_what_baileys_wrote_as_baileys_does(case: dict[str, Any]) -> None:
    if "hex" in case["wire"]:
        assert decode(bytes.fromhex(case["wire"]["hex"])) == node_of(case["read"])
    else:
        assert decode(encode(node_of(case["node"]))) == node_of(case["node"])


@pytest.mark.requirement("F8")
@pytest.mark.parametrize("case", GOLDEN["decoded"], ids=name_of)
def test_reads_what_only_a_server_writes_as_baileys_does(case: dict[str, Any]) -> None:
    read = node_of(case["read"])
    # Baileys writes out device 0 of a Messenger or interop user; there is none in these cases.
    assert decode(bytes.fromhex(case["wire"]["hex"])) == read


def test_the_vectors_name_the_version_that_made_them() -> None:
    assert (GOLDEN["package"], GOLDEN["version"]) == ("baileys", "7.0.0-rc14")
