"""Protobuf messages of the Signal wire format and of our own stored records (generated)."""
