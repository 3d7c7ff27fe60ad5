"""The numbers of the service, as Prometheus reads them."""

from fastapi import APIRouter, Response

from perene.api import auth
from perene.api.ports import MetricsPort
from perene.api.problems import documented

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

router = APIRouter(tags=["health"])


@router.get(
    auth.METRICS,
    dependencies=auth.documentation,
    response_class=Response,
    responses={
        200: {
            "description": "Every metric in Prometheus' text format.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **documented(401, 503),
    },
)
async def get_metrics(source: MetricsPort) -> Response:
    """Show the metrics. A key is needed unless PERENE_METRICS_PUBLIC or its default says not.

    While the database does not answer, a key passes that it knew within the last 15 minutes.
    """
    return Response(source.exposition(), headers={"Content-Type": MEDIA_TYPE})
