"""Tools of the project itself; nothing in src imports them."""
