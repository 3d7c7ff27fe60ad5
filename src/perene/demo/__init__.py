"""The demo: Perene at work against its own simulator, on this machine only."""

from perene.demo.main import main

__all__ = ["main"]
