"""A run keeps what the catalogue declared of its device, so that a later catalogue changes no verdict."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from npubench.contract.runspec import RunSpec
from npubench.plan.hardware import peak_of, shipped_hardware
from npubench.record.declared import DECLARED, declared_of, read_declared, write_declared
from npubench_reports.messages import load
from npubench_reports.reasons import say


def test_the_peak_of_a_known_device_is_kept_beside_the_run(tmp_path: Path, make_spec: Callable[..., RunSpec]) -> None:
    entry = next(e for e in shipped_hardware().entries.values() if peak_of(e, "int8"))
    (tmp_path / "worker.json").write_text(json.dumps({"device": {"kind": entry.name, "simulated": False}}), encoding="utf-8")
    write_declared(tmp_path, make_spec(precision="int8"))
    found, peak = read_declared(tmp_path), peak_of(entry, "int8")
    assert peak is not None
    assert (found.device, found.operations_per_s, found.reason) == (entry.name, peak.size, "")


@pytest.mark.parametrize(
    ("kind", "precision", "simulated"),
    [("ACME-9", "fp32", False), ("A100", "vendor", False), ("Warboy", "fp32", False), ("Warboy", "int8", True)],
)
def test_a_peak_that_is_not_there_has_a_reason_in_both_languages(kind: str, precision: str, simulated: bool) -> None:
    found = declared_of(kind, precision, simulated)
    assert found.operations_per_s is None
    assert not any(say(found.reason, load(language)).foreign for language in ("ko", "en"))


@pytest.mark.parametrize("text", ["", "{", '{"device": 7}', "[]"])
def test_a_worker_that_named_no_device_has_no_peak(tmp_path: Path, make_spec: Callable[..., RunSpec], text: str) -> None:
    (tmp_path / "worker.json").write_text(text, encoding="utf-8")
    write_declared(tmp_path, make_spec())
    assert read_declared(tmp_path).reason == "the worker named no device"


def test_a_damaged_file_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / DECLARED).write_text('{"device": 7}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"declared\.json"):
        read_declared(tmp_path)
