"""What may keep the service from working, looked at one by one. Nothing is ever changed."""

from perene.doctor.examination import examine, examine_settings
from perene.doctor.finding import Finding, Level

__all__ = ["Finding", "Level", "examine", "examine_settings"]
