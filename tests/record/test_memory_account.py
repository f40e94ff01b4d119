"""A record's memory is a function of the readings in its folder: the same again, absent with a reason, or null where none are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npubench.analyze.memory import DAMAGED, NO_WINDOW
from npubench.measure.memory import MEMORY
from npubench.measure.trace import read_trace
from npubench.plan.usermodel import fidelity
from npubench.record.account import build_record
from npubench.record.migrate import migrate
from npubench.record.recheck import recheck_run
from npubench.record.store import Store

from .evidence import GATE, Maker


@pytest.fixture
def maker(tmp_path: Path, make_spec: Callable[..., Any], make_bundle: Callable[..., Any], make_trace: Any) -> Maker:
    return Maker(Store(tmp_path / "store"), make_bundle(tmp_path / "bundle", gate=GATE), make_spec, make_trace)


def write_readings(run: Path, kept: float) -> None:
    """Write readings of a worker that keeps so many bytes a sample, forty in the window."""
    trace = read_trace(run / "trace.npz")
    times = np.linspace(trace.start_ns, trace.end_ns, 42).astype(np.int64)[1:-1]
    held = (100 << 20) + (kept * np.searchsorted(np.sort(trace.done_ns), times)).astype(np.int64)
    header = json.dumps({"version": 1, "phases": ["start", "measure"], "reason": ""}).encode()
    ones = np.ones(len(times), np.int64)
    np.savez(run / MEMORY, header=np.frombuffer(header, np.uint8), times_ns=times, held=held, phase=ones, processes=ones)


@pytest.mark.parametrize(("kept", "found"), [(0.0, False), (1 << 20, True)])
def test_growth_is_in_the_record_and_a_finding(maker: Maker, kept: float, found: bool) -> None:
    run = maker()
    write_readings(run, kept)
    record = build_record(run, maker.bundle, fidelity)
    assert record.memory is not None
    assert record.memory.growth.value == pytest.approx(kept)
    assert ("memory-growth" in {finding.rule for finding in record.findings}) is found
    assert build_record(run, maker.bundle, fidelity) == record


def test_a_figure_that_was_changed_is_noticed(maker: Maker) -> None:
    run = maker()
    write_readings(run, 1 << 20)
    record = json.loads(build_record(run, maker.bundle, fidelity).model_dump_json())
    record["memory"]["growth"]["value"] = 1.0
    (run / "record.json").write_text(json.dumps(record), encoding="utf-8")
    assert [each.key for each in recheck_run(run, maker.bundle.root).differences] == ["memory.growth.value"]


def test_damaged_readings_are_a_reason_and_none_are_null(maker: Maker) -> None:
    run = maker()
    assert build_record(run, maker.bundle, fidelity).memory is None
    (run / MEMORY).write_bytes(b"spoilt")
    record = build_record(run, maker.bundle, fidelity)
    assert record.memory is not None
    assert {record.memory.peak.reason, record.memory.growth.reason} == {DAMAGED}
    assert record.metrics["latency_p50"].value is not None


def test_a_run_that_failed_keeps_what_was_seen(maker: Maker) -> None:
    run = maker()
    write_readings(run, 0.0)
    (run / "trace.npz").unlink()
    record = build_record(run, maker.bundle, fidelity)
    assert record.status == "failed"
    assert record.memory is not None
    assert record.memory.peak.value == 100 << 20
    assert record.memory.growth.reason == NO_WINDOW


def test_older_records_have_none() -> None:
    assert migrate({"schema_version": 2, "system": None})["memory"] is None
