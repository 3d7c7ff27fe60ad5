"""Measured comparisons of Perene with itself and with others; nothing in src imports them."""
