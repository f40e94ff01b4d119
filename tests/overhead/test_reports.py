"""How long reports of 5,000 runs take, and how much memory and room. Reach: ≤ 10 s and ≤ 1 GiB on two cores, HTML ≤ 5 MB.

Two stores: the same 46 cells night after night, and 5,000 cells of which each was measured once. Every report is made by a
process of its own; beside its wall time stands its processor time, which a busy machine does not lengthen as much.
``--benchmark-only -k "nights and html"`` picks some of them.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .big_stores import REFERENCE, write_cells, write_nights

RUNS = 5000

#: What is asked for, by name; ``{out}`` is a file of the format.
REPORTS = {
    "comparison": ["report"],
    "procurement": ["report", "procurement", "--reference", REFERENCE],
    "feedback": ["report", "feedback", "t01/fp32"],
    "nightly": ["report", "nightly"],
    "compare": ["compare", "t00/fp32", "t01/fp32"],
}
FORMATS = ("html", "pdf", "xlsx", "csv", "md", "json")
#: Those that are not documents have one format.
ALONE = {"comparison": "html", "compare": ""}


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return both stores by name."""
    root = tmp_path_factory.mktemp("stores")
    return {"nights": write_nights(root / "nights", RUNS), "cells": write_cells(root / "cells", RUNS)}


@pytest.mark.parametrize("store", ["nights", "cells"])
@pytest.mark.parametrize(
    ("report", "format"),
    [(report, format) for report in REPORTS for format in ((ALONE[report],) if report in ALONE else FORMATS)],
)
def test_report(
    benchmark: Callable[..., None], stores: dict[str, Path], tmp_path: Path, store: str, report: str, format: str
) -> None:
    out = tmp_path / f"report.{format}"
    command = [sys.executable, "-m", "npubench", *REPORTS[report], "--store", str(stores[store])]
    if format:
        command += ["--out", str(out)]
    ended: list[tuple[int, resource.struct_rusage]] = []

    def once() -> None:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        ended.append((process.returncode, usage))

    benchmark.pedantic(once, rounds=1)  # type: ignore[attr-defined]
    ((code, usage),) = ended
    written = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    seconds, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
    benchmark.extra_info |= {"cpu_s": seconds, "peak_mib": peak, "bytes": written}  # type: ignore[attr-defined]
    print(f"\n{store} {report} {format}: {seconds:.1f} s of processor, {peak:.0f} MiB, {written / 1e6:.1f} MB written")  # noqa: T201
    # A nightly report that has something to say ends with 1.
    assert code in (0, 1)
    assert written or not format
