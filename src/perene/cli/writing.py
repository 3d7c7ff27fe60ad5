"""How the commands write: tables, spans of time, moments, numbers that are half hidden."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return lines of aligned columns, without columns that are empty in every row."""
    kept = [n for n, _ in enumerate(header) if not rows or any(row[n] for row in rows)]
    lines = [[line[n] for n in kept] for line in (header, *rows)]
    widths = [max(len(line[n]) for line in lines) for n, _ in enumerate(kept)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Return a line for each name and value, without those that have no value."""
    told = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in told), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in told)


def span(time: timedelta) -> str:
    """Return a span of time in its two largest units: "4 min 10 s"; "0 s" for a negative one."""
    rest = max(0, round(time.total_seconds()))
    parts: list[tuple[int, str]] = []
    for size, name in _UNITS:
        count, rest = divmod(rest, size)
        parts.append((count, name))
    first = next((n for n, (count, _) in enumerate(parts) if count), len(parts) - 1)
    shown = [part for part in parts[first : first + 2] if part[0]] or [parts[first]]
    return " ".join(f"{count} {name}" for count, name in shown)


def moment(text: object) -> datetime | None:
    """Return the moment that JSON tells, None for null and for what is none."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def shown_moment(text: object) -> str:
    """Return a moment to the second in UTC, "" for none."""
    found = moment(text)
    return "" if found is None else found.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def masked(phone: object) -> str:
    """Return a phone number of which only the last four digits are shown, "" for none."""
    return "" if not phone else f"…{str(phone)[-4:]}"
