"""What the service ships as defaults, for tests that make its parts without reading settings."""

from typing import Final

from perene.settings import Settings

START_AT_ONCE: Final[int] = Settings.model_fields["start_at_once"].default
"""Places at the start gate."""

START_PER_SECOND: Final[float] = Settings.model_fields["start_per_second"].default
"""Connections that are begun in a second, at most."""
