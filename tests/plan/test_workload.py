from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from npubench.errors import WorkloadError
from npubench.plan.workload import GateRule, Sources, find_workload, read_manifest, workload_names


def test_names_are_listed_without_importing(tiny: Any) -> None:
    assert "tiny-line" in workload_names()
    assert not [name for name in sys.modules if name.startswith("tiny_workloads")]


def test_a_manifest_is_read_without_executing_the_module(tiny: Any) -> None:
    tiny.write(module="raise SystemExit('executed')\n")
    manifest = find_workload("tiny-line").manifest
    assert manifest.version == "3"
    assert manifest.gate.required_ratio is None
    assert "tiny_workloads.tiny_line" not in sys.modules


def test_an_unknown_name_gets_the_nearest(tiny: Any) -> None:
    with pytest.raises(WorkloadError, match="unknown workload 'tiny-lime'; did you mean 'tiny-line'"):
        find_workload("tiny-lime")


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('licence = "Apache-2.0"', 'license = "x"', "unknown key 'license'; did you mean 'licence'"),
        ('metric = "closeness"', 'metrik = "closeness"', "unknown key 'gate.metrik'; did you mean 'metric'"),
        ('unit = "ratio"\n', "", "key 'gate.unit' is missing"),
        ('precisions = ["fp32"]', 'precisions = ["fp64"]', "precisions.0: Input should be 'fp32' or 'int8'"),
        ('precisions = ["fp32"]', 'precisions = ["int8"]', "'precisions' must hold \"fp32\""),
        ("latency_bound_ms = 2.5", 'latency_bound_ms = "2.5"', "latency_bound_ms: Input should be a valid number"),
        ("latency_bound_ms = 2.5", "latency_bound_ms = -1", "latency_bound_ms: Input should be greater than 0"),
        ('claim = "accuracy"', 'claim = "accuracy"\nrequired = 1.0\nrequired_ratio = 0.9', "not both"),
        ("[title]", "[title", "cannot be read"),
        ('claim = "accuracy"', 'claim = "accuracy"\n[int8]\nper_chanel = true', "did you mean 'per_channel'"),
        (
            'claim = "accuracy"',
            'claim = "accuracy"\n[[source]]\nid = "m"\npackage = "p"\nversion = "1"\nmember = "m"\nsha265 = "0"',
            "unknown key 'source.0.sha265'; did you mean 'sha256'",
        ),
    ],
)
def test_a_wrong_manifest_names_file_and_key(tiny: Any, old: str, new: str, text: str) -> None:
    tiny.write(manifest=tiny.manifest.replace(old, new))
    with pytest.raises(WorkloadError) as caught:
        find_workload("tiny-line")
    assert "tiny_line.toml" in str(caught.value)
    assert text in str(caught.value)


def test_a_manifest_of_another_name_is_refused(tiny: Any) -> None:
    tiny.write(manifest=tiny.manifest.replace("tiny-line", "other"))
    with pytest.raises(WorkloadError, match="name is 'other', its entry point says 'tiny-line'"):
        find_workload("tiny-line")


def test_a_missing_manifest_is_named(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="no such manifest"):
        read_manifest(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("module", "text"), [("import no_such_module_anywhere\n", "cannot import"), ("build = 1\n", "no function 'build'")]
)
def test_a_module_that_offers_nothing_is_refused(tiny: Any, module: str, text: str) -> None:
    tiny.write(module=module)
    with pytest.raises(WorkloadError, match=text):
        find_workload("tiny-line").load()


def test_two_packages_of_one_name_are_refused(tiny: Any, tmp_path: Path) -> None:
    info = tmp_path / "site" / "rival-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rival\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[npubench.workloads]\ntiny-line = rival.line\n")
    tiny.forget()
    with pytest.raises(WorkloadError, match=r"claimed by rival\.line and tiny_workloads\.tiny_line"):
        find_workload("tiny-line")


def test_an_unknown_source_gets_the_nearest() -> None:
    with pytest.raises(WorkloadError, match="no source 'modle'; did you mean 'model'"):
        Sources({"model": Path("x")}).path("modle")


def test_the_bound_follows_the_direction() -> None:
    up = GateRule(metric="top1", unit="ratio", claim="accuracy", required_ratio=0.98)
    down = GateRule(metric="rmse", unit="K", claim="accuracy", higher_is_better=False)
    fixed = GateRule(metric="rmse", unit="K", claim="accuracy", higher_is_better=False, required=0.511)
    assert up.bound(0.5) == pytest.approx(0.49)
    assert down.bound(0.99) == pytest.approx(1.0)
    assert fixed.bound(0.4) == 0.511
    assert up.sentence() == "top1 at least 0.98 of what the FP32 model reaches on the CPU reference"
    assert down.sentence() == "rmse at most 1/0.99 of what the FP32 model reaches on the CPU reference"
    assert fixed.sentence() == "rmse at most 0.511 K"


def test_every_workload_here_has_a_manifest_in_both_languages() -> None:
    for name in workload_names():
        manifest = find_workload(name).manifest
        assert manifest.title.en.isascii() or "×" in manifest.title.en
        assert any("가" <= letter <= "힣" for letter in manifest.title.ko), name
