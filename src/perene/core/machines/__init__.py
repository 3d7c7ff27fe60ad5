"""The life of a session as machines that hear each other: connection, pairing, ownership, phone.

Each is a pure `step`; a fifth keeps the outage that people read about. `session.step` is all of
them together: what the shell feeds, and whose effects it performs.
"""
