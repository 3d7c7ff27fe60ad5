"""Asking a person before something that cannot be undone."""

import sys
from typing import Literal

from perene.cli.exits import INTERRUPTED, REFUSED


def confirmed(question: str, stake: str) -> Literal[True] | int:
    """Return True for a yes; else the exit status, having said why nothing was done.

    Nobody is asked who cannot answer: `stake` is what is told then.
    """
    if not sys.stdin.isatty():
        print(f"{stake}\nGive --yes to confirm.", file=sys.stderr)
        return REFUSED
    try:
        answer = input(question)
    except (EOFError, KeyboardInterrupt):
        print("\nNothing was changed.")
        return INTERRUPTED
    if answer.strip().lower() in {"y", "yes"}:
        return True
    print("Nothing was changed.")
    return 0
