"""``npubench report``: everything in a store as one comparison."""

from __future__ import annotations

import importlib
from pathlib import Path

from npubench.contract.options import nearest
from npubench.errors import InputError, StoreError
from npubench.plugins import REPORTS, disputed_entries, plugin_entries
from npubench.record.store import Entry, Store, Unreadable
from npubench.report.comparison import build_page, names_of
from npubench.report.page import ComparisonPage
from npubench.report.select import latest
from npubench.verbs.console import data, err
from npubench.verbs.rooflines import print_rooflines
from npubench.verbs.sweeps import print_sweeps
from npubench.verbs.tables import print_page
from npubench.verbs.watts import print_energy


def write_report(store: Path, out: Path | None, baseline: str, suite: str, language: str) -> int:
    """Print the tables and write the HTML file; its path is the last line on standard output."""
    entries = stored_entries(store, suite)
    names = sorted({entry.record.spec.suite for entry in entries})
    page = build_page(suite or ", ".join(names), latest(entries), baseline)
    names = [name for subject in page.subjects for name in names_of(subject)]
    if baseline and baseline not in names:
        raise InputError(f"--baseline '{baseline}': no such subject{nearest(baseline, names[1::2])}")
    path = out or store / "comparison.html"
    write_html(page, path, language)
    print_page(page)
    print_energy(page)
    print_sweeps(page)
    print_rooflines(page)
    data(str(path.resolve()))
    return 0


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


def write_html(page: ComparisonPage, path: Path, language: str) -> None:
    """Render a page with the installed HTML renderer.

    Raises:
        InputError: The language is unknown, no renderer is installed or two are, or the file cannot be written.
    """
    entry = plugin_entries(REPORTS).get("html")
    if entry is None and "html" in disputed_entries(REPORTS):
        raise InputError(f"HTML renderer {disputed_entries(REPORTS)['html']}")
    if entry is None:
        raise InputError("no HTML renderer is installed; run: pip install 'npubench[standard]'")
    module, _, name = entry.partition(":")
    text: str = getattr(importlib.import_module(module), name)(page, language=language)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def say_unreadable(unreadable: list[Unreadable]) -> None:
    """Show records that cannot be read; they hide no other."""
    for one in unreadable:
        err.print(f"[yellow]▲ left out, cannot be read:[/] {one.reason}", soft_wrap=True)
