"""The admin API: drives the simulated people and the faults, and shows the evidence."""

from perene.sim.admin.app import admin_app

__all__ = ["admin_app"]
