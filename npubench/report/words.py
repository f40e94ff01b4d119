"""Write a figure as short text for terminals: scaled units, three or four digits. Reports have renderers of their own."""

from __future__ import annotations

from npubench.analyze.metrics import HEADLINE
from npubench.record.schema import Record

_TIMES = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))


def figure_text(value: float | None, unit: str) -> str:
    """Return ``6.52 ms`` for 6520000 ns; an em dash for what is missing."""
    if value is None:
        return "—"
    if unit == "ns":
        for size, name in _TIMES:
            if abs(value) >= size:
                return f"{_digits(value / size)} {name}"
        return f"{value:.3g} ns"
    if unit == "ratio":
        return f"{value:.4f}"
    return f"{_digits(value)} {unit}"


def headline_text(record: Record) -> str:
    """Return a run's headline metric with its name, such as ``p90 6.52 ms``."""
    headline = HEADLINE[record.spec.load.scenario]
    estimate = record.metrics.get(headline.metric)
    name = headline.metric.removeprefix("latency_").replace("query_rate", "").replace("throughput", "")
    if estimate is None or estimate.value is None:
        # A smoke run may be too short for the headline percentile; the median is better than nothing and says so.
        median = record.metrics.get("latency_p50")
        return f"{name} — (p50 {figure_text(median.value, 'ns')})" if median is not None and median.value is not None else "—"
    return f"{name} {figure_text(estimate.value, estimate.unit)}".strip()


def _digits(value: float) -> str:
    """Return three significant digits, and whole numbers from 1,000 on."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 100 else f"{value:.1f}"
