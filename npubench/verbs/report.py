"""``npubench report``: everything in a store as one comparison, in every format that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from npubench.contract.options import nearest
from npubench.errors import InputError, StoreError
from npubench.record.store import Entry, Store, Unreadable
from npubench.report.comparison import build_page, names_of
from npubench.report.comparison_document import build_comparison
from npubench.report.page import ComparisonPage
from npubench.report.select import latest
from npubench.verbs.console import data, err
from npubench.verbs.documents import asked_formats, write_document
from npubench.verbs.rooflines import print_rooflines
from npubench.verbs.sweeps import print_sweeps
from npubench.verbs.tables import print_page
from npubench.verbs.watts import print_energy


def write_report(store: Path, out: Path | None, formats: str, baseline: str, suite: str, language: str) -> int:
    """Print the tables and write the comparison in every format that is asked for; the paths are the last lines.

    Raises:
        InputError: No such baseline, format or language, or a file cannot be written.
    """
    wanted = asked_formats(formats, out)
    page, entries = compare_all(stored_entries(store, suite), baseline, suite, "--baseline ")
    # Written before anything is printed, so that an error stands alone; said after it, so that scripts find the paths.
    paths: list[str] = []
    write_document(build_comparison(page, entries), wanted, language, out, store, say=paths.append)
    print_page(page)
    print_energy(page)
    print_sweeps(page)
    print_rooflines(page)
    data("\n".join(paths))
    return 0


def compare_all(entries: Sequence[Entry], baseline: str, suite: str, option: str) -> tuple[ComparisonPage, tuple[Entry, ...]]:
    """Return the comparison of all runs, and those of them that it stands on.

    Args:
        entries: The runs of a store, or of one of its suites.
        baseline: Whom ratios are against; the first where it is empty.
        suite: The suite they are of; empty for all.
        option: What a wrong baseline is called in the message.

    Raises:
        InputError: There is no such baseline.
    """
    chosen = latest(entries)
    names = sorted({entry.record.spec.suite for entry in entries})
    page = build_page(suite or ", ".join(names), chosen, baseline)
    known = [name for subject in page.subjects for name in names_of(subject)]
    if baseline and baseline not in known:
        raise InputError(f"{option}'{baseline}': no such subject{nearest(baseline, known[1::2])}")
    return page, chosen


def stored_entries(store: Path, suite: str = "") -> list[Entry]:
    """Return the runs of a store, of one suite where it is named; records that cannot be read are shown and left out.

    Raises:
        StoreError: There is none.
    """
    entries, unreadable = Store(store).read()
    say_unreadable(unreadable)
    entries = [entry for entry in entries if not suite or entry.record.spec.suite == suite]
    if not entries:
        what = f"no run of suite '{suite}'" if suite else "no run"
        raise StoreError(f"{store}: there is {what} in this store; 'npubench run SUITE --store {store}' makes some")
    return entries


def say_unreadable(unreadable: list[Unreadable]) -> None:
    """Show records that cannot be read; they hide no other."""
    for one in unreadable:
        err.print(f"[yellow]▲ left out, cannot be read:[/] {one.reason}", soft_wrap=True)
