"""What the admin routes are given."""

from typing import Annotated, cast

from fastapi import Depends, Query, Request

from perene.sim.simulator import Simulator

Number = Annotated[int | None, Query(description="the device's number; the newest if left out")]
Phone = Annotated[str | None, Query(description="the account's number")]


async def _running(request: Request) -> Simulator:
    return cast("Simulator", request.app.state.simulator)


Running = Annotated[Simulator, Depends(_running)]
"""The simulator that the API drives."""
