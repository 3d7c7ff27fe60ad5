"""When the garbage collector works."""

import subprocess
import sys

_LOOK = "print(gc.isenabled(), gc.get_freeze_count() > 0, gc.get_threshold())"


def _after(*calls: str) -> str:
    """Return what is so after calls of the module, in a process of its own."""
    lines = ["import gc", "from perene.process import collector", *calls, _LOOK]
    command = [sys.executable, "-c", "\n".join(lines)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_it_rests_while_the_service_is_put_together():
    assert _after("collector.put_off()").startswith("False False")


def test_then_it_works_seldom_and_spares_what_there_is():
    assert _after("collector.put_off()", "collector.spare()") == "True True (10000, 20, 20)\n"
