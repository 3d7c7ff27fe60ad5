"""Who may log in now: turns, so that a restart is no stampede, and the pace of logins."""
