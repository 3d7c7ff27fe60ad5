"""The life of the service: until a signal, or until a part of it ends; then everything drains."""

import asyncio

import structlog

from perene.api import HttpServer
from perene.app.sessions import Sessions
from perene.app.watch import Watch
from perene.core.errors import ServiceFailed
from perene.process.signals import signalled
from perene.settings import Settings
from perene.supervisor.watches.hold import HoldWatch

log = structlog.stdlib.get_logger()

_LAST_LOOK_S = 30.0
"""How long a service that ends by itself tries to tell of it."""


async def live_and_drain(
    settings: Settings, server: HttpServer, sessions: Sessions, hold: HoldWatch, watch: Watch
) -> None:
    """Run until a signal, until the database is taken, or until a part fails; then drain.

    Raises ServiceFailed, having logged what failed.
    """
    stopping = asyncio.create_task(signalled(), name="signals")
    committing = asyncio.create_task(sessions.committer.run(), name="committer")
    supervising = asyncio.create_task(sessions.supervisor.run(), name="supervisor")
    holding = asyncio.create_task(hold.run(), name="hold")
    serving = asyncio.create_task(server.ended(), name="http server")
    tasks = (stopping, committing, supervising, holding, serving)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping")
        await server.stop()
        watch.alerting.leave_sessions()
        sessions.supervisor.close()
        async with asyncio.timeout(settings.shutdown_timeout_s):
            await asyncio.wait((supervising,))
            if not committing.done():
                await sessions.committer.drained()
    except TimeoutError:
        # What is not answered is delivered again, and recognised; leaving late helps nobody.
        log.warning("not_drained_in_time", limit_s=settings.shutdown_timeout_s)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        failures = {
            task.get_name(): result
            for task, result in zip(tasks, results, strict=True)
            if isinstance(result, Exception)
        }
    for part, failure in failures.items():
        log.critical("service_failed", part=part, exc_info=failure)
    if failures:
        raise ServiceFailed(
            f"The service ended, because a part of it failed: {', '.join(failures)}."
        )


async def tell_of_the_end(watch: Watch) -> None:
    """Let the alerts be looked at once more, for what ends this service is one."""
    try:
        async with asyncio.timeout(_LAST_LOOK_S):
            await watch.alerting.look()
    except TimeoutError:
        log.warning("end_not_told", limit_s=_LAST_LOOK_S)
