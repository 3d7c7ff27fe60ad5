"""What a test compares with: sums, keys, files."""

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from perene.sim.admin import reports
from perene.sim.admin.parameters import Running
from perene.sim.admin.reports import Json

router = APIRouter(prefix="/admin", tags=["evidence"])


@router.get("/stats")
async def stats(simulator: Running) -> Json:
    """Show sums over all companions, what people counted, reused keys, unknown queries."""
    return reports.stats(simulator)


@router.delete("/media")
async def forget_media(simulator: Running) -> Json:
    """Lose every uploaded file, as the service does after a while."""
    return {"forgotten": simulator.media.forget()}


@router.get("/certificate", response_class=PlainTextResponse)
async def certificate(simulator: Running) -> str:
    """Show the TLS certificate as PEM, for clients that take one to trust."""
    if simulator.certificate is None:
        raise LookupError("the simulator was started without TLS")
    return simulator.certificate.decode()


@router.get("/root-key")
async def root_key(simulator: Running) -> Json:
    """Show the public root key that clients must trust."""
    return {"root_key": simulator.root_key.hex()}
