"""How a session goes on, as each shape that tells of it words it."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from perene.core.causes import Cause

LastCause = Annotated[
    Cause | None,
    Field(description="Why the last connection ended, or could not be made; null while connected."),
]
Attempt = Annotated[
    int,
    Field(
        description="Which attempt in a row comes next or is under way, of those that are counted"
        " together; the last one that was made when a person has to act, 0 while connected."
    ),
]
AttemptLimit = Annotated[
    int | None, Field(description="Attempts before a person is asked; null for no limit.")
]
RetryAt = Annotated[datetime | None, Field(description="When the next attempt is made, if one is.")]
OutageBegan = Annotated[datetime | None, Field(description="Since when the session is down.")]
DeafSuspicions = Annotated[
    int,
    Field(description="Times since the start that the open connection seemed to deliver nothing."),
]
