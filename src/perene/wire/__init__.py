"""WhatsApp's wire format: noise, frames, binary nodes, JIDs, certificates and protobuf.

Sans-I/O throughout: bytes in, bytes out. Whatever a remote sends raises a `WireError` leaf or is
returned; nothing else. Imports `perene.crypto` only.
"""
