"""``npubench compare``: A against B, paired cell by cell."""

from __future__ import annotations

import json
import re
from pathlib import Path

from npubench.contract.runspec import to_plain
from npubench.record.store import Store
from npubench.report.comparison import build_page
from npubench.report.comparison_document import build_comparison
from npubench.report.pairs import pair
from npubench.report.select import latest, select
from npubench.verbs.console import data, err
from npubench.verbs.documents import asked_formats, write_document
from npubench.verbs.report import say_unreadable
from npubench.verbs.rooflines import print_rooflines
from npubench.verbs.sweeps import print_sweeps
from npubench.verbs.tables import print_pairs
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
    say_unreadable(unreadable)
    first, second = select(a, here, stored), select(b, here, stored)
    pairs = pair(first, second)
    entries = latest([*first.entries, *(e for e in second.entries if e not in first.entries)])
    page = build_page(f"{a} : {b}", entries)
    paths: list[str] = []
    if wanted:
        write_document(build_comparison(page, entries), wanted, language, out, store, _file_name(a, b), paths.append)
    if as_json:
        data(json.dumps(to_plain(pairs), indent=1, ensure_ascii=False))
    else:
        print_pairs(pairs)
        print_pair_energy(pairs)
        print_sweeps(page)
        print_rooflines(page)
    if paths:
        (err.print if as_json else data)("\n".join(paths))
    return 0


def _file_name(*sides: str) -> str:
    """Return what files in a folder are called: a side may be given as anything, a path among it."""
    return "-".join(["comparison", *(re.sub(r"[^\w.]+", "_", side).strip("._")[:40] or "side" for side in sides)])
