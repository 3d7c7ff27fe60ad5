"""The server's last words as evidence: what a person needs to see why is kept."""

import pytest

from perene.core.causes import Cause, classify
from perene.engine.endings import stream_error
from perene.wire.node import Node


@pytest.mark.parametrize(
    ("child", "cause", "attributes"),
    [
        (
            Node("ack", {"class": "status", "id": "3EB0"}),
            Cause.STREAM_ENDED,
            {"ack_class": "status", "ack_id": "3EB0"},
        ),
        (Node("ping", {"id": "7"}), Cause.STREAM_ENDED, {"ping_id": "7"}),
        (Node("xml-not-well-formed"), Cause.MALFORMED, {}),
        (Node("from-the-future", {"a": "b"}), Cause.UNKNOWN, {"from-the-future_a": "b"}),
    ],
)
def test_a_stream_error_without_a_code_is_named_by_what_is_in_it(
    child: Node, cause: Cause, attributes: dict[str, str]
) -> None:
    ending = stream_error(Node("stream:error", {}, (child,))).ending
    assert (ending.code, classify(ending)) == (child.tag, cause)
    assert ending.attributes == attributes


def test_a_code_says_more_than_what_is_beside_it() -> None:
    node = Node("stream:error", {"code": "515"}, (Node("ack", {"id": "1"}),))
    assert (ending := stream_error(node).ending).code == "515"
    assert classify(ending) is Cause.RESTART_REQUIRED


@pytest.mark.parametrize(
    ("attrs", "kind", "cause"),
    [({}, "replaced", Cause.REPLACED), ({"code": "401"}, "device_removed", Cause.UNLINKED)],
)
def test_what_a_conflict_says_is_kept(attrs: dict[str, str], kind: str, cause: Cause) -> None:
    ending = stream_error(Node("stream:error", attrs, (Node("conflict", {"type": kind}),))).ending
    assert classify(ending) is cause
    assert ending.attributes == {**attrs, "conflict_type": kind}


def test_a_stream_error_that_says_nothing_has_no_code() -> None:
    ending = stream_error(Node("stream:error")).ending
    assert (ending.code, classify(ending)) == ("", Cause.UNKNOWN)
