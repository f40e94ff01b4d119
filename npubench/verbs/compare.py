"""``npubench compare``: A against B, paired cell by cell."""

from __future__ import annotations

import gc
import json
import re
from pathlib import Path

from npubench.contract.runspec import to_plain
from npubench.record.store import Store
from npubench.report.comparison_detail import build_detailed_page
from npubench.report.comparison_document import build_comparison
from npubench.report.detail import unread
from npubench.report.pairs import pair
from npubench.report.select import latest, select
from npubench.verbs.console import data, err
from npubench.verbs.documents import asked_formats, write_document
from npubench.verbs.report import say_unreadable
from npubench.verbs.rooflines import print_rooflines
from npubench.verbs.sweeps import print_sweeps
from npubench.verbs.tables import MOST_PAIRS, print_paired, print_pairs, shorten_page, shorten_pairs
from npubench.verbs.watts import print_pair_energy


def compare_sides(a: str, b: str, store: Path, out: Path | None, formats: str, language: str, as_json: bool) -> int:
    """Print the paired ratios and everything that differs, and write the comparison where a file or a format is asked for.

    Returns 0 whatever the verdicts are.

    Raises:
        InputError: No such format or language, or a file cannot be written.
    """
    wanted = asked_formats(formats, out) if formats or out is not None else ()
    here = Store(store)
    stored, unreadable = here.read()
    gc.freeze()
    say_unreadable(unreadable)
    first, second = select(a, here, stored), select(b, here, stored)
    pairs = pair(first, second, None if as_json else MOST_PAIRS)
    entries = latest([*first.entries, *(e for e in second.entries if e not in first.entries)])
    # Without a document nothing is shown of it that takes a trace.
    page = build_detailed_page(f"{a} : {b}", entries if wanted else unread(entries))
    paths: list[str] = []
    if wanted:
        write_document(build_comparison(page, entries), wanted, language, out, store, _file_name(a, b), paths.append)
    if as_json:
        data(json.dumps(to_plain(pairs), indent=1, ensure_ascii=False))
    else:
        shown, shown_page = shorten_pairs(pairs), shorten_page(page)
        print_pairs(shown)
        print_pair_energy(shown)
        print_sweeps(shown_page)
        print_rooflines(shown_page)
        print_paired(pairs, shown)
    if paths:
        (err.print if as_json else data)("\n".join(paths))
    return 0


def _file_name(*sides: str) -> str:
    """Return what files in a folder are called: a side may be given as anything, a path among it."""
    return "-".join(["comparison", *(re.sub(r"[^\w.]+", "_", side).strip("._")[:40] or "side" for side in sides)])
