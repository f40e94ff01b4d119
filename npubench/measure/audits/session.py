"""Carry out probes one after the other and write down what they observe."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from npubench.measure.audits.bench import Bench, NotCarriedOut, Probe
from npubench.measure.audits.rest import ClosedProbe

#: What audits leave in a run's folder: a key a probe, and the arrays that some have beside it.
OBSERVATIONS, ARRAYS = "audits.json", "audits.npz"
#: The key under which a probe that was not carried out says why.
NOT_CARRIED_OUT = "not_carried_out"


def carry_out(probes: Iterable[Probe | ClosedProbe], bench: Bench) -> None:
    """Carry out probes and write their observations, beside those that stand in the run's folder already."""
    path = bench.folder / OBSERVATIONS
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for probe in probes:
        try:
            known[probe.name] = dict(probe.carry_out(bench))
        except NotCarriedOut as why:
            known[probe.name] = {NOT_CARRIED_OUT: str(why)}
    _write(path, json.dumps(known, allow_nan=False))
    if bench.arrays:
        np.savez_compressed(bench.folder / ARRAYS, **bench.arrays)  # type: ignore[arg-type]  # allow_pickle is not among them


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
