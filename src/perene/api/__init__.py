"""HTTP: routes, keys, problem details, OpenAPI. Meets the sessions through narrow protocols."""

from perene.api.app import create_app
from perene.api.auth import announce_first_key
from perene.api.ports import Ports
from perene.api.qr import terminal_qr
from perene.api.server import HttpServer, listening_socket
from perene.api.streams import Streams

__all__ = [
    "HttpServer",
    "Ports",
    "Streams",
    "announce_first_key",
    "create_app",
    "listening_socket",
    "terminal_qr",
]
