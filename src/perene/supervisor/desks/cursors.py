"""The cursors of lists: the row that a page ended with, opaque to who hands it back."""

from perene.core.errors import InvalidRequest


def row_of(cursor: str | None) -> int | None:
    """Return the row to go on from, None for the first page.

    Raises InvalidRequest with field "cursor" for text that no list has made.
    """
    if cursor is None:
        return None
    if not cursor.isascii() or not cursor.isdecimal() or len(cursor) > 18:
        raise InvalidRequest("This cursor was not made by this list.", field="cursor")
    return int(cursor)
