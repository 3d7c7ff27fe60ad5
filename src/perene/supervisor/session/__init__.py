"""One session: the task that drives it, what it has under way, and what is kept and shown."""
