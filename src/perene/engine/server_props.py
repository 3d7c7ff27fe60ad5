"""What WhatsApp sets for its clients, one number for each code ("AB props")."""

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from perene.core.clock import Clock
from perene.engine.errors import QueryFailed, QueryTimedOut
from perene.engine.queries import Queries
from perene.engine.stanza import small_number
from perene.wire.node import Node

log = structlog.stdlib.get_logger()

_ANSWER_WITHIN_S: Final = 10.0
_GOOD_FOR_S: Final = 86_400.0
_AGAIN_S: Final = 300.0
"""How long after a question without an answer the next one is asked."""

_MOST: Final = 2**31


class ServerProps:
    """The properties of one connection. Nothing is asked before one is needed: there are thousands.

    docs/reference/protocol.md §7.3; whatsapp-rust wacore/src/iq/props.rs, 2026-08-21; Baileys
    src/Socket/chats.ts `fetchProps`, 2026-05-21.
    """

    def __init__(self, queries: Queries, clock: Clock) -> None:
        self._queries = queries
        self._clock = clock
        self._turn = asyncio.Lock()
        self._told: Mapping[int, int] = {}
        self._until: float | None = None

    async def numbers(self) -> Mapping[int, int]:
        """Return the properties that are whole numbers; empty if the server does not tell."""
        async with self._turn:
            if self._until is None or self._clock.monotonic() >= self._until:
                await self._ask()
        return self._told

    async def _ask(self) -> None:
        good_for_s = _AGAIN_S
        try:
            answer = await self._queries.ask(
                "abt", "get", Node("props", {"protocol": "1"}), timeout_s=_ANSWER_WITHIN_S
            )
        except (QueryFailed, QueryTimedOut) as error:
            log.info("server_props_not_told", reason=str(error))
        else:
            self._told, good_for_s = _numbers(answer), _GOOD_FOR_S
        self._until = self._clock.monotonic() + good_for_s


def _numbers(answer: Node) -> Mapping[int, int]:
    props = answer.child("props")
    found: dict[int, int] = {}
    for prop in props.children if props is not None else ():
        code = small_number(prop.attrs.get("config_code", ""), most=_MOST)
        value = small_number(prop.attrs.get("config_value", ""), most=_MOST)
        if prop.tag == "prop" and code is not None and value is not None:
            found[code] = value
    return found
