"""``npubench compare``: A against B, paired cell by cell."""

from __future__ import annotations

import json
from pathlib import Path

from npubench.contract.runspec import to_plain
from npubench.record.store import Store
from npubench.report.comparison import build_page
from npubench.report.pairs import pair
from npubench.report.select import latest, select
from npubench.verbs.console import data, err
from npubench.verbs.report import say_unreadable, write_html
from npubench.verbs.rooflines import print_rooflines
from npubench.verbs.sweeps import print_sweeps
from npubench.verbs.tables import print_pairs
from npubench.verbs.watts import print_pair_energy


def compare_sides(a: str, b: str, store: Path, html: Path | None, language: str, as_json: bool) -> int:
    """Print the paired ratios and everything that differs; returns 0 whatever the verdicts are."""
    here = Store(store)
    entries, unreadable = here.read()
    say_unreadable(unreadable)
    first, second = select(a, here, entries), select(b, here, entries)
    pairs = pair(first, second)
    page = build_page(f"{a} : {b}", latest([*first.entries, *(e for e in second.entries if e not in first.entries)]))
    if html is not None:
        write_html(page, html, language)
    if as_json:
        data(json.dumps(to_plain(pairs), indent=1, ensure_ascii=False))
    else:
        print_pairs(pairs)
        print_pair_energy(pairs)
        print_sweeps(page)
        print_rooflines(page)
    if html is not None:
        (err.print if as_json else lambda text: data(str(text)))(str(html.resolve()))
    return 0
