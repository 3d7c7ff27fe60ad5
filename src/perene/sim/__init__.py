"""A WhatsApp server that clients connect to unchanged, with faults on request."""
