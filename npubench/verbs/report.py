"""``npubench report``: everything in a store as one comparison, in every format that is asked for."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path

from npubench.contract.options import nearest
from npubench.errors import InputError, StoreError
from npubench.record.store import Entry, Store, Unreadable
from npubench.report.comparison import names_of
from npubench.report.comparison_detail import build_detailed_page
from npubench.report.comparison_document import build_comparison
from npubench.report.page import ComparisonPage
from npubench.report.select import latest
from npubench.verbs.console import data, err
from npubench.verbs.documents import asked_formats, write_document
from npubench.verbs.rooflines import print_rooflines
from npubench.verbs.sweeps import print_sweeps
from npubench.verbs.tables import print_page, print_shown, shorten_page
from npubench.verbs.watts import print_energy


def write_report(store: Path, out: Path | None, formats: str, baseline: str, suite: str, language: str) -> int:
    """Print the tables and write the comparison in every format that is asked for; the paths are the last lines.

    Raises:
        InputError: No such baseline, format or language, or a file cannot be written.
    """
    wanted = asked_formats(formats, out)
    entries: Sequence[Entry] = stored_entries(store, suite)
    # They are needed to the end; looked through for garbage again and again, thousands of them take seconds.
    gc.freeze()
    page, entries = compare_all(entries, baseline, suite, "--baseline ")
    document = build_comparison(page, entries)
    # A renderer takes as much memory again, and the document stands without them.
    del entries
    # Written before anything is printed, so that an error stands alone; said after it, so that scripts find the paths.
    paths: list[str] = []
    write_document(document, wanted, language, out, store, say=paths.append)
    shown = shorten_page(page)
    print_page(shown)
    print_energy(shown)
    print_sweeps(shown)
    print_rooflines(shown)
    print_shown(page, shown)
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
    page = build_detailed_page(suite or ", ".join(names), chosen, baseline)
    known = [name for subject in (page.whole or page).subjects for name in names_of(subject)]
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
