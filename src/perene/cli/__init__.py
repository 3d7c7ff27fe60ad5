"""The command line `perene`."""

from perene.cli.commands import REFUSED, app, main

__all__ = ["REFUSED", "app", "main"]
