"""The service: the only package that knows all parts, and wires them."""

from perene.app.service import serve
from perene.app.versions import CLIENT_VERSION

__all__ = ["CLIENT_VERSION", "serve"]
