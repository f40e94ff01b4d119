"""Name the plug-ins of this interpreter by entry points; listing imports none of them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

BACKENDS = "npubench.backends"
SUITES = "npubench.suites"
REPORTS = "npubench.reports"


def plugin_entries(group: str) -> dict[str, str]:
    """Return name → ``module:attribute`` of every entry point in ``group``, sorted by name.

    A name that two distributions claim is left out: which of them is meant cannot be known. :func:`disputed_entries` names it.
    """
    return {name: points[0].value for name, points in _by_name(group).items() if len(points) == 1}


def plugin_values(group: str) -> list[str]:
    """Return every ``module:attribute`` in ``group``, sorted, for groups whose names do not matter."""
    return sorted({point.value for point in entry_points(group=group)})


def disputed_entries(group: str) -> dict[str, str]:
    """Return name → a sentence for every name that several distributions claim: who claims it, and what to do."""
    return {name: _dispute(name, points) for name, points in _by_name(group).items() if len(points) > 1}


def _by_name(group: str) -> dict[str, list[EntryPoint]]:
    """Return name → the entry points that have it; a distribution that says the same thing twice has said it once."""
    found: dict[str, dict[tuple[str, str], EntryPoint]] = {}
    for point in entry_points(group=group):
        found.setdefault(point.name, {})[_claimant(point), point.value] = point
    return {name: list(points.values()) for name, points in sorted(found.items())}


def _claimant(point: EntryPoint) -> str:
    """Return the distribution of an entry point with its version, such as ``"acme-npu 1.2"``."""
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an unnamed distribution"


def _dispute(name: str, points: Iterable[EntryPoint]) -> str:
    claims = " and ".join(f"{_claimant(point)} ({point.value})" for point in points)
    return f"'{name}' is claimed by {claims}; uninstall all of them but one"
