"""Audits of whole runs: an honest plug-in passes every one, and the dishonest ones that are shipped are caught by name.

A few of them, since each is a run; ``docs/audits.md`` has what came of all.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .acme import write_distribution
from .world import Result, World, one_by_target

#: Reaches for the harness's clock, for the reference's answers by the C library, and for samples by Python.
REACH = """
import ctypes
from typing import Any

from npubench.testing.cheats.process import BendsHarness


class Reach(BendsHarness):
    def supports(self, model: Any, device: Any) -> Any:
        self.model = model
        return super().supports(model, device)

    def load(self, artefact: Any, device: Any, options: Any) -> Any:
        ctypes.CDLL(None).open(bytes(self.model.path.parent / "reference.npz"), 0)
        open(self.model.path.parents[1] / "inputs" / "0.npy", "rb").close()
        return super().load(artefact, device, options)
"""

#: Target → its plug-in, the audit that must fail, and a word of what it saw.
CHEATS = {
    "late": ("npubench.testing.cheats.answers:LateAnswers", "same-outputs", "handed over"),
    "remembers": ("npubench.testing.cheats.memory:LastAnswer", "repeated-sample", "against unique ones"),
    "sequence": ("npubench.testing.cheats.memory:KnownSequence", "other-seeds", "against other seeds"),
    "cache": ("npubench.testing.cheats.memory:AnswerCache", "fresh-inputs", "times the time of known samples"),
    "reach": ("npubench_reach:Reach", "own-process", "npubench.measure.dispatch._now"),
}
HONEST = "npubench.testing.cheats.base:AnyModel"

#: The samples of the workload ``acme-sum``.
KNOWN = 20


@pytest.fixture(scope="module")
def audited(
    new_world: Callable[[str], World], acme: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Result, dict[str, Any], Path]:
    """A suite of an honest target and of some cheats, with ``--audit``."""
    world, site = new_world("audits"), tmp_path_factory.mktemp("cheats")
    (site / "npubench_reach.py").write_text(REACH, encoding="utf-8")
    entries = {"honest": HONEST, **{name: entry for name, (entry, *_) in CHEATS.items()}}
    lines = "".join(f"test-{name} = {entry}\n" for name, entry in entries.items())
    write_distribution(site, "npubench_reach", f"[npubench.backends]\n{lines}")
    law = {"fixed_us": 1500.0, "per_sample_us": 500.0}
    targets = {
        name: {
            "backend": f"test-{name}",
            "device": "sim:plain",
            "options": law if name == "honest" else {**law, "known": KNOWN},
        }
        for name in entries
    }
    suite = world.suite(targets, [{"targets": list(targets), "workloads": ["acme-sum"]}], name="audits")
    done = world("run", suite, "--audit", "--store", "store", env={"PYTHONPATH": f"{site}:{acme}"})
    return done, one_by_target(world.store()), world.store()


def test_an_honest_plug_in_is_not_accused(audited: tuple[Result, dict[str, Any], Path]) -> None:
    record = audited[1]["honest"]
    assert [audit for audit in record["audits"] if audit["status"] == "failed"] == []
    carried_out = {audit["name"] for audit in record["audits"] if audit["status"] == "passed"}
    # On a busy machine audits that compare times may say that they cannot tell.
    assert carried_out >= {"same-outputs", "batch-work", "own-process"}


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_cheat_is_caught_by_name(audited: tuple[Result, dict[str, Any], Path], cheat: str) -> None:
    done, records, _ = audited
    record, (_, name, word) = records[cheat], CHEATS[cheat]
    failed = {audit["name"]: audit["observed"] for audit in record["audits"] if audit["status"] == "failed"}
    assert word in failed[name]
    assert record["status"] in ("invalid", "failed")
    assert f"{name}: " in done.out + done.err
    if record["status"] == "invalid":
        assert name in {finding["evidence"].get("audit") for finding in record["findings"] if finding["rule"] == "audit"}


def test_files_that_no_plug_in_needs_are_named(audited: tuple[Result, dict[str, Any], Path]) -> None:
    evidence = next(audit["evidence"] for audit in audited[1]["reach"]["audits"] if audit["name"] == "own-process")
    assert "inputs/0.npy" in evidence["opened"]
    if evidence["opens_watched"] == "kernel":
        assert "fp32/reference.npz" in evidence["opened"]


def test_what_was_observed_stands_beside_the_record(audited: tuple[Result, dict[str, Any], Path]) -> None:
    _, records, store = audited
    folder = next(store.glob("*/*honest*"))
    assert {"audits.json", "audits.npz", "declared.json"} <= set(records["honest"]["provenance"]["files"])
    seen = json.loads((folder / "audits.json").read_text(encoding="utf-8"))
    assert len(seen["repeated-sample"]["pairs"]) >= 6
