"""Turns of the event loop."""

import asyncio


async def turns() -> None:
    """Let whatever is ready run."""
    for _ in range(20):
        await asyncio.sleep(0)
