"""The command `perene demo`."""

import argparse
import shutil
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType

from perene.demo.children import DemoFailed
from perene.demo.screen import Screen
from perene.demo.show import play
from perene.demo.stage import Stage

_LOOK_AROUND = """\

It stays up: look around. Ctrl-C ends it and removes {folder}.
  API        {url}/docs
  key        {key}
  simulator  {sim}/admin/docs
  logs       {folder}/perene.log

  curl -H 'X-Api-Key: {key}' {url}/v1/sessions
  curl -H 'X-Api-Key: {key}' '{url}/v1/sessions/shop/messages?limit=3'
  curl -N -H 'X-Api-Key: {key}' {url}/v1/events
Let somebody write, and see it in the events:
  curl -H 'Content-Type: application/json' -d '{{"to": "{phone}", "text": "hello"}}' \\
    {sim}/admin/accounts/{contact}/send
"""


def main(arguments: Sequence[str] = ()) -> int:
    """Play the demo; return 0 only if nothing was lost or doubled."""
    asked = _parser().parse_args(list(arguments))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    screen = Screen()
    right = stopped = False
    stage = Stage()
    try:
        with stage:
            screen.write("Perene against its own simulator, on this machine only.\n")
            screen.write(f"Files and logs: {stage.folder}\n")
            right = play(stage, screen)
            screen.write("\nNothing lost, nothing doubled.\n" if right else "\nThat is wrong.\n")
            if not asked.exit:
                _stay(stage, screen)
    except DemoFailed as failure:
        sys.stderr.write(f"\n{failure}\n")
    except KeyboardInterrupt:
        stopped = True
    if right or stopped:
        shutil.rmtree(stage.folder)
    if stopped and not right:
        return 130
    return 0 if right else 1


def _stay(stage: Stage, screen: Screen) -> None:
    """Tell how to look around, and wait for Ctrl-C."""
    phone = stage.perene.ask("GET", "/v1/sessions/shop")["phone"]
    accounts = stage.simulator.ask("GET", "/admin/accounts")
    contact = next(one["phone"] for one in accounts if one["name"] == "Bea")
    screen.write(
        _LOOK_AROUND.format(
            folder=stage.folder,
            url=stage.perene.url,
            key=stage.key,
            sim=stage.simulator.url,
            phone=phone,
            contact=contact,
        )
    )
    threading.Event().wait()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="perene demo", description="Show Perene at work against its own simulator."
    )
    parser.add_argument(
        "--exit",
        action="store_true",
        help="end after the last step, with status 0 only if nothing was lost or doubled",
    )
    return parser
