"""Queries of a logged-in device, one module per family of namespaces (facts/protocol.md §7.3)."""
