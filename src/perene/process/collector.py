"""When the garbage collector works: not while the service is put together, and then seldom."""

import gc

_YOUNG = 10_000
_OLDER = 20


def put_off() -> None:
    """Let it rest until `spare`; what imports make stays anyway, and there is much of it."""
    gc.disable()


def spare() -> None:
    """Take everything made so far, modules above all, out of the collector's sight.

    Walking over it again and again costs time under load, and stalls every session meanwhile; and
    what a message makes is freed by its last reference, so that collecting often finds nothing.
    What imports left behind (some 7,000 objects) is kept with it: to look for that takes a tenth
    of the time in which the service is put together.
    """
    gc.freeze()
    gc.set_threshold(_YOUNG, _OLDER, _OLDER)
    gc.enable()
