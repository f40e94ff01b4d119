"""``npubench calibrate --statistics``: hold percentiles, intervals and stability rules against made-up runs of known truth.

The table is pure computation with fixed seeds: every machine makes the same one. Beside it LoadGen is run by itself, and its own
early-stopping estimates are compared with ours on the same latencies.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

from rich.table import Table

from npubench.analyze.certified import certified_percentile
from npubench.errors import NpubenchError
from npubench.measure.early_stopping import read_estimates
from npubench.verbs.console import Steps, data, out
from npubench.verbs.statistics_trials import Question, questions

COMMAND = "npubench calibrate --statistics --out docs/statistics.md"

#: Three standard errors of a simulated share: what luck may add to what is asked for.
_LUCK = 3.0


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one question.

    Args:
        section, about: As in :class:`~npubench.verbs.statistics_trials.Question`.
        runs: How many runs the analysis said something of.
        true: In how many it came true.
        silent: Of how many it said nothing.
        most, least: The share that may, or must.
    """

    section: str
    about: str
    runs: int
    true: int
    silent: int
    most: float | None
    least: float | None

    @property
    def share(self) -> float | None:
        """How often it came true, 0…1; None where nothing was said of any run."""
        return self.true / self.runs if self.runs else None

    @property
    def holds(self) -> bool:
        """Whether it is as asked, but for what luck of three standard errors adds."""
        if self.share is None:
            return True
        if self.most is not None:
            return self.share <= self.most + _LUCK * math.sqrt(self.most * (1 - self.most) / self.runs)
        if self.least is not None:
            return self.share >= self.least - _LUCK * math.sqrt(self.least * (1 - self.least) / self.runs)
        return True


def ask(question: Question, most_runs: int | None = None) -> Row:
    """Carry out a question's runs, or the first ``most_runs`` of them."""
    runs = question.runs if most_runs is None else min(question.runs, most_runs)
    said = [question.trial(seed) for seed in range(runs)]
    silent = sum(one is None for one in said)
    return Row(
        question.section, question.about, runs - silent, sum(bool(one) for one in said), silent, question.most, question.least
    )


def make_rows(most_runs: int | None = None, on_row: Callable[[Row], None] = lambda row: None) -> list[Row]:
    """Answer every question; a function of its arguments alone.

    Args:
        most_runs: The most runs of each; None = all.
        on_row: Told of each row, for progress.
    """
    rows = []
    for question in questions():
        rows.append(ask(question, most_runs))
        on_row(rows[-1])
    return rows


def compare_with_loadgen() -> list[tuple[str, float, bool]]:
    """Run LoadGen by itself; return window, percentile, and whether our bound equals LoadGen's estimate, of each estimate.

    Raises:
        NpubenchError: LoadGen could not be run.
    """
    with tempfile.TemporaryDirectory(prefix="npubench-early-stopping-") as folder:
        command = [sys.executable, "-m", "npubench.measure.early_stopping", folder]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if ended.returncode:
            raise NpubenchError(f"LoadGen cannot be run by itself: {ended.stderr.strip().splitlines()[-1:]}")
        return [
            (window.name, percentile, certified_percentile(window.latencies_ns, percentile).high == estimate)
            for window in read_estimates(Path(folder))
            for percentile, estimate in sorted(window.estimates_ns.items())
        ]


def show_statistics(path: Path | None, as_json: bool) -> int:
    """Make the table, print it, and write it as Markdown if a file is named.

    Returns:
        0, or 1 if something is not as it is asked to be.

    Raises:
        NpubenchError: LoadGen could not be run.
    """
    agreed = compare_with_loadgen()
    steps = Steps(sum(1 for _ in questions()), "simulating")
    with steps.shown():

        def on_row(row: Row) -> None:
            steps.now(f"{row.section}: {row.about}")
            steps.step()

        rows = make_rows(on_row=on_row)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(markdown(rows, agreed), encoding="utf-8")
    held = all(row.holds for row in rows) and all(same for *_, same in agreed)
    if as_json:
        content = {
            "holds": held,
            "loadgen": [{"window": name, "percentile": percentile, "equal": same} for name, percentile, same in agreed],
            "rows": [{**asdict(row), "share": row.share, "holds": row.holds} for row in rows],
        }
        data(json.dumps(content, indent=1, ensure_ascii=False))
    else:
        _print(rows, agreed)
        if path is not None:
            data(str(path.resolve()))
    return 0 if held else 1


#: Section → its title, what a row's share is of, and what stands above the table.
_SECTIONS: dict[str, tuple[str, str, str]] = {
    "certified": (
        "Certified percentiles bound the truth",
        "true percentile above the bound",
        "Each run is one of six laws in turn (exponential, lognormal, gamma, Pareto, uniform, normal); 1,000 runs of each.",
    ),
    "throughput": (
        "Intervals of throughput hold the truth",
        "truth in the interval",
        "Completions back to back; neighbours that are alike by φ follow a first-order autoregression of that φ on the "
        "logarithms.",
    ),
    "ratio": (
        "Intervals of a ratio of two runs' percentiles hold the truth",
        "truth in the interval",
        "The second run is 5% slower; as `npubench compare` pairs two runs.",
    ),
    "repeats": (
        "Intervals over repeats hold the truth, although repeats are added until they are narrow",
        "truth in the interval",
        "Grade official: three processes, then more until half the interval is within 2%, eight at most.",
    ),
    "false change-point": ("Change-points found where there is none", "false findings", "Runs of one level."),
    "false drift": ("Drift found where there is none", "false findings", "The rank test is at 1%; what stays on top is its own."),
    "false modes": (
        "Several modes found where there is one",
        "false findings",
        "A run that is worth too few independent queries is told nothing of, and not counted.",
    ),
    "false outliers": ("Outliers found where the tail is the law's own", "false findings", "All of these tails are honest."),
    "power": (
        "What is found where there is something",
        "found",
        "Nothing is asked of these: a step that the scatter hides cannot be found at this rate of false findings.",
    ),
}


def _cells(row: Row) -> tuple[str, ...]:
    asked = f"≤ {row.most:.0%}" if row.most is not None else f"≥ {row.least:.0%}" if row.least is not None else ""
    share = "—" if row.share is None else f"{row.share:.1%}"
    return row.about, f"{row.true} of {row.runs}", share, asked


def markdown(rows: Sequence[Row], agreed: Sequence[tuple[str, float, bool]]) -> str:
    """Return the tables as a page of Markdown."""
    equal = sum(same for *_, same in agreed)
    lines = [
        "# What the statistics hold",
        "",
        f"Made by `{COMMAND}`; a test carries out the first runs of every row",
        "again and holds the page against them. All runs are made up from laws that are known, with fixed seeds, and analysed by",
        "the code that analyses measured ones. A share of so many runs is itself uncertain: it counts as held if it is within",
        "three of its standard errors of what is asked for.",
        "",
        "## Certified percentiles are LoadGen's",
        "",
        f"LoadGen is run by itself, without a device, and its early-stopping estimates are read from its summary: {equal} of",
        f"{len(agreed)} estimates equal ours on the same latencies to the nanosecond (single-stream and multi-stream, p90 and",
        "p99, 64 to 20,000 queries).",
        "",
    ]
    for section, found in groupby(rows, lambda row: row.section):
        title, what, about = _SECTIONS[section]
        lines += [f"## {title}", "", about, "", f"| runs | {what} | share | asked for |", "|---|---:|---:|---:|"]
        lines += ["| " + " | ".join(_cells(row)) + " |" for row in found]
        lines.append("")
    return "\n".join(lines[:-1]) + "\n"


def _print(rows: Iterable[Row], agreed: Sequence[tuple[str, float, bool]]) -> None:
    table = Table(title="What the statistics hold (made-up runs of known truth)", title_justify="left")
    for n, head in enumerate(("", "runs", "came true", "share", "asked for", "")):
        table.add_column(head, justify="right" if n in (2, 3, 4) else "left")
    for row in rows:
        sign = "[green]✔[/]" if row.holds else "[red]✘[/]"
        table.add_row(row.section, *_cells(row), sign if row.most is not None or row.least is not None else "")
    out.print(table)
    equal = sum(same for *_, same in agreed)
    sign = "[green]✔[/]" if equal == len(agreed) else "[red]✘[/]"
    out.print(f"{sign} {equal} of {len(agreed)} certified percentiles equal LoadGen's own early-stopping estimates")
