"""Many sessions: each desired one runs, whatever happens to the others."""
