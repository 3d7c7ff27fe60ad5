"""The command line `perene`."""

from perene.cli.commands import app, main
from perene.cli.exits import REFUSED

__all__ = ["REFUSED", "app", "main"]
