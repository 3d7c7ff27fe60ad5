"""What faces outward is served here: each implements a protocol of `supervisor.ports`."""
