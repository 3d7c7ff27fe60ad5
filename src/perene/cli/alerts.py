"""The commands `perene alert …`: they read the settings of the service, whether it runs or not."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from perene.cli.exits import REFUSED, REFUSED_BY_SERVICE
from perene.cli.writing import sentence, table

if TYPE_CHECKING:
    from perene.delivery.trial import Tried

app = App(name="alert", help="Try the receivers of alerts, at the machine of the service.")

_COLUMNS = ("RECEIVER", "ADDRESS", "RESULT")

AsJson = Annotated[bool, Parameter(name="--json", negative=())]


@app.command(name="test")
def send_test(*, raw: AsJson = False) -> int:
    """Send a test message to each receiver that PERENE_ALERT_URLS names, and say what became of it.

    The message says that it is a test. No alert is raised and none is stored. Addresses are shown
    without their secrets. The exit status is 1 if a receiver did not take the message, 2 if there
    is no receiver or an address cannot be used; then nothing is sent.

    Parameters
    ----------
    raw
        Print the results as JSON.
    """
    import asyncio
    import socket

    from perene.core.clock import SystemClock
    from perene.core.errors import RefusedToStart
    from perene.delivery.alerts import notifiers_for
    from perene.delivery.trial import try_receivers
    from perene.process.threads import Threads
    from perene.settings import read_settings

    try:
        urls = read_settings().alert_addresses
        receivers = notifiers_for(urls, lambda: Threads(1, "perene-alerts"))
    except RefusedToStart as refusal:
        print(f"{sentence(refusal)}\n{refusal.remedy}", file=sys.stderr)
        return REFUSED
    if not receivers:
        print(
            "No receiver of alerts is set.\n"
            "Set PERENE_ALERT_URLS, here as for the service; without it alerts are only logged and"
            " kept.",
            file=sys.stderr,
        )
        return REFUSED
    found = asyncio.run(try_receivers(receivers, SystemClock(), host=socket.gethostname()))
    print(_json(found) if raw else table(_COLUMNS, [_row(one) for one in found]))
    return REFUSED_BY_SERVICE if any(one.failure for one in found) else 0


def _row(tried: "Tried") -> tuple[str, str, str]:
    result = f"delivered in {tried.took_s:.1f} s"
    if tried.failure is not None:
        result = f"not delivered: {tried.failure}"
    return tried.receiver, tried.address, result


def _json(found: Sequence["Tried"]) -> str:
    told = [{**asdict(one), "delivered": one.failure is None} for one in found]
    return json.dumps({"items": told}, indent=2, ensure_ascii=False)
