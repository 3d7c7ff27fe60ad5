"""The commands `perene alert …`: a running service is asked over HTTP."""

import json
import sys
from typing import Annotated, cast

from cyclopts import App, Parameter

from perene.cli.exits import REFUSED_BY_SERVICE
from perene.cli.service import LOCAL, JsonObject, Reach, Service, asking
from perene.cli.writing import table

app = App(name="alert", help="Try the receivers of alerts of a running service.")

_COLUMNS = ("RECEIVER", "ADDRESS", "RESULT")

AsJson = Annotated[bool, Parameter(name="--json", negative=())]


@app.command(name="test")
def send_test(*, raw: AsJson = False, reach: Reach = LOCAL) -> int:
    """Have the running service send a test message to each of its receivers of alerts.

    The message says that it is a test. No alert is raised and none is stored. Addresses are shown
    without their secrets. The exit status is 1 if a receiver did not take the message, or if there
    is no receiver.

    Parameters
    ----------
    raw
        Print what the service answered, as JSON.
    """

    def ask(service: Service) -> int:
        answer = service.post("/v1/alerts/test")
        tried = cast("list[JsonObject]", answer["items"])
        if raw:
            print(json.dumps(answer, indent=2, ensure_ascii=False))
        elif tried:
            print(table(_COLUMNS, [_row(one) for one in tried]))
        if not tried:
            print(
                "The service has no receiver of alerts: they are only logged and kept.\n"
                "Set PERENE_ALERT_URLS where it is started, and start it again.",
                file=sys.stderr,
            )
        delivered = bool(tried) and all(one["delivered"] for one in tried)
        return 0 if delivered else REFUSED_BY_SERVICE

    return asking(reach, ask)


def _row(tried: JsonObject) -> tuple[str, str, str]:
    result = f"not delivered: {tried['failure']}"
    if tried["delivered"]:
        result = f"delivered in {tried['took_s']:.1f} s"
    return str(tried["receiver"]), str(tried["address"]), result
