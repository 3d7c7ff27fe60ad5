"""The web client's service worker, in which clients look the live version up."""

import json

from fastapi import APIRouter, Response

from perene.sim.world import World

FIRST_REVISION = 1_050_000_000
"""What is live unless told otherwise."""


class WebVersion:
    """What `/sw.js` answers: the revision that it names, or a status that refuses."""

    def __init__(self) -> None:
        self.revision = FIRST_REVISION
        self.status = 200

    def text(self, minimum: tuple[int, ...]) -> str:
        """Return a service worker that names the live revision, at least that of `minimum`.

        The form is that of the real file: JSON in a string of the script, with the number of the
        server before that of the client (whatsapp-rust, src/version.rs, 2026-08-12).
        """
        revision = max(self.revision, minimum[2] if len(minimum) > 2 else 0)
        site = {"server_revision": revision - 1, "client_revision": revision, "push_phase": "sim"}
        data = json.dumps({"dynamic_data": {"SiteData": site}}, separators=(",", ":"))
        return (
            "/* The simulator's own; only the place of the version is that of the real one. */\n"
            f"self.__swData=JSON.parse(/*BTDS*/{json.dumps(data)});\n"
        )


def web_version_routes(world: World, published: WebVersion) -> APIRouter:
    """Return the route of the service worker; looks at it are counted as `version_lookups`."""
    router = APIRouter(include_in_schema=False)

    @router.get("/sw.js")
    async def service_worker() -> Response:
        world.evidence.events["version_lookups"] += 1
        if published.status != 200:
            return Response(status_code=published.status)
        wanted = max(world.faults.minimum_version, world.faults.linking_version)
        text = published.text(wanted)
        return Response(text, media_type="application/javascript")

    return router
