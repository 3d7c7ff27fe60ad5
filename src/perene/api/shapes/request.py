"""What the bodies of requests have in common."""

from pydantic import BaseModel, ConfigDict


class RequestBody(BaseModel):
    """Refuses members that it does not know: a misspelt one must not be passed over."""

    model_config = ConfigDict(extra="forbid", frozen=True)
