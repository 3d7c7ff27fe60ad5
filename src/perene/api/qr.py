"""QR codes as a picture, as a drawing, and as characters for a terminal."""

import io

import segno

_QUIET = 4
"""Modules of empty border; scanners want four of them."""

_BLOCKS = {(True, True): " ", (True, False): "▄", (False, True): "▀", (False, False): "█"}
"""By (upper, lower) module, dark or not: light modules are drawn, so a dark terminal shows a
positive picture. Most scanners read a negative one too."""


def png(text: str) -> bytes:
    """Return a picture with 8 pixels to a module."""
    out = io.BytesIO()
    _code(text).save(out, kind="png", scale=8, border=_QUIET)
    return out.getvalue()


def svg(text: str) -> bytes:
    """Return a drawing of its own on white ground."""
    out = io.BytesIO()
    _code(text).save(out, kind="svg", scale=8, border=_QUIET, light="#ffffff")
    return out.getvalue()


def terminal_qr(text: str) -> str:
    """Return lines of half blocks for a terminal with light letters on dark ground."""
    rows = [[bool(module) for module in row] for row in _code(text).matrix_iter(border=_QUIET)]
    if len(rows) % 2:
        rows.append([False] * len(rows[0]))
    lines = (
        "".join(_BLOCKS[pair] for pair in zip(upper, lower, strict=True))
        for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    )
    return "\n".join(lines) + "\n"


def _code(text: str) -> segno.QRCode:
    # The lowest error correction keeps the modules large: the text is long, the screen clean.
    return segno.make_qr(text, error="l", boost_error=False)
