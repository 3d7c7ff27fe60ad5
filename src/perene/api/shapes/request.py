"""What the bodies of requests have in common."""

from pydantic import BaseModel, ConfigDict


class RequestBody(BaseModel):
    """Takes what is documented and nothing else.

    A misspelt member must not be passed over, nor one of another type: who writes `"start": 0` may
    mean anything.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
