"""Name the plug-ins of this interpreter by entry points; listing imports none of them."""

from __future__ import annotations

from importlib.metadata import entry_points

BACKENDS = "npubench.backends"
SUITES = "npubench.suites"
REPORTS = "npubench.reports"


def plugin_entries(group: str) -> dict[str, str]:
    """Return name → ``module:attribute`` of every entry point in ``group``, sorted by name."""
    return dict(sorted((point.name, point.value) for point in entry_points(group=group)))
