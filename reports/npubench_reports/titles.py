"""What workloads are called on a page: short where room is short, and in the list of what was not run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from npubench.report.page import ComparisonPage
from npubench_reports.messages import Messages


@dataclass(frozen=True, slots=True)
class Title:
    """A workload's title: its beginning, and the rest."""

    short: str
    rest: str


@dataclass(frozen=True, slots=True)
class Missing:
    """A workload in a scenario that some subjects lack, as the page lists it."""

    place: str
    subjects: tuple[str, ...]


def short_titles(page: ComparisonPage, messages: Messages) -> Mapping[str, Title]:
    """Return workload → its title in two parts, cut at the first colon or parenthesis.

    Titles say what a workload is at length; beside a plot or a finding the beginning will do, unless two begin alike.
    """
    whole = {row.workload: messages.of(row.title, row.workload) for table in page.tables for row in table.rows}
    whole |= {d.workload: messages.of(d.title, d.workload) for d in page.distributions if d.workload not in whole}
    starts = {workload: re.split(r": | \(", title, maxsplit=1)[0] for workload, title in whole.items()}
    alike = Counter(starts.values())
    return {
        workload: Title(starts[workload], _rest(title, starts[workload])) if alike[starts[workload]] == 1 else Title(title, "")
        for workload, title in whole.items()
    }


def _rest(title: str, start: str) -> str:
    rest = title[len(start) :].removeprefix(":").strip()
    return rest[1:-1] if rest.startswith("(") and rest.endswith(")") and rest.count("(") == 1 else rest


def missing(page: ComparisonPage, messages: Messages) -> tuple[Missing, ...]:
    """Gather the page's unpaired cells by workload and scenario; one that is written otherwise stands as it is."""
    titles = {workload: title.short for workload, title in short_titles(page, messages).items()}
    found: dict[str, list[str]] = {}
    for text in page.unpaired:
        place, colon, label = text.partition(": ")
        workload, dot, scenario = place.partition(" · ")
        if colon and dot:
            place = f"{titles.get(workload, workload)} · {messages.name('scenario', scenario)}"
            found.setdefault(place, []).append(label)
        else:
            found.setdefault(text, [])
    return tuple(Missing(place, tuple(labels)) for place, labels in found.items())
