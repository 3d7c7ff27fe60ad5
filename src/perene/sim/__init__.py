"""A WhatsApp server for tests: see docs/how-to/simulator.md."""

from perene.sim.main import main
from perene.sim.memory import MemoryTransport
from perene.sim.server import SimServer, serve
from perene.sim.simulator import Simulator, UnknownPerson
from perene.sim.traffic import TrafficPlan
from perene.sim.world import Settings

__all__ = [
    "MemoryTransport",
    "Settings",
    "SimServer",
    "Simulator",
    "TrafficPlan",
    "UnknownPerson",
    "main",
    "serve",
]
