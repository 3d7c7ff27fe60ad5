"""The shell that runs many sessions: registry, session task, committer."""
