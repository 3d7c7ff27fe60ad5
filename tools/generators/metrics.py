"""The reference page of the metrics, from their definitions."""

from perene.supervisor.metrics import DEFINITIONS, Definition
from tools.generators.references import FOLDER, NOTE

ABOUT = """\
`GET /metrics` shows them in Prometheus' text format, with the usual `process_…` metrics besides.
While the service listens on this machine alone no key is needed; otherwise Prometheus sends the API
key as a bearer token, unless `PERENE_METRICS_PUBLIC` is `true`.

No metric has a label for the session: which session it was is in `/health/detailed`, in its
outages, and in the events.
"""


def outputs() -> dict[str, str]:
    """Return the page by its path from the root of the project."""
    return {f"{FOLDER}/metrics.md": metrics_page()}


def metrics_page() -> str:
    """Return the table of all metrics."""
    lines = [
        "# Metrics",
        NOTE,
        ABOUT,
        "| metric | kind | labels | meaning |",
        "|---|---|---|---|",
        *(_row(metric) for metric in DEFINITIONS),
    ]
    return "\n".join(lines) + "\n"


def _row(metric: Definition) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.meaning} |"
