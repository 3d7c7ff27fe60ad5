"""How a command ends, as its exit status tells."""

REFUSED_BY_SERVICE = 1
"""The service answered, and refused; or a check has failed."""

NOT_YET = 1
"""The service took the wish, and the session is not there in time; what was printed says why."""

FAILED = 1
"""The service ended by a bug, having said which part of it failed."""

REFUSED = 2
"""Something must be changed before Perene can start, or before it can be asked."""

TAKEN_OVER = 3
"""The service ended because another one took its database."""

INTERRUPTED = 130
"""Ctrl-C, as shells count it."""

UNREAD = 141
"""Whoever read the output has gone, as shells count it."""
