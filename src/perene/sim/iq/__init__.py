"""Queries of a logged-in device, one module per family of namespaces.

docs/reference/protocol.md §7.3.
"""
