"""The shell that runs many sessions, a room for each of its purposes."""
