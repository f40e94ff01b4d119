from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npubench.contract.bundle import BundleError, read_bundle
from npubench.errors import WorkloadError
from npubench.plan.bundles import prepare


def test_a_bundle_reads_back_as_it_was_described(tiny: Any, tmp_path: Path) -> None:
    bundle = read_bundle(prepare("tiny-line", tmp_path).root, check_files=True)
    assert (bundle.workload, bundle.version, bundle.samples) == ("tiny-line", "3", 12)
    assert bundle.latency_bound_ns == 2_500_000
    assert bundle.operations == 2 * 4 * 2
    assert [spec.shape for spec in (*bundle.inputs, *bundle.outputs)] == [(None, 4), (None, 2)]
    assert bundle.gate.reference == 1.0
    assert bundle.gate.required == pytest.approx(0.99)
    (x,), (y,) = bundle.load_inputs(), bundle.load_reference()
    assert np.allclose(y[:, 0], x.sum(axis=1), atol=1e-5)
    assert np.allclose(bundle.load_labels()["sum"], x.sum(axis=1))
    assert np.load(bundle.model("vendor").calibration["x"]).shape == (8, 4)


def test_preparing_again_reuses_it_in_milliseconds(tiny: Any, tmp_path: Path) -> None:
    prepare("tiny-line", tmp_path)
    tiny.write(module=tiny.module)
    told: list[str] = []
    assert prepare("tiny-line", tmp_path, progress=told.append).samples == 12
    assert told == []


def test_the_same_workload_twice_gives_the_same_digest(tiny: Any, tmp_path: Path) -> None:
    tiny.write(manifest=tiny.manifest.replace('["fp32"]', '["fp32", "int8"]'))
    first = prepare("tiny-line", tmp_path / "a")
    time.sleep(2.1)  # archives hold times in steps of two seconds
    second = prepare("tiny-line", tmp_path / "b")
    assert first.digest == second.digest
    assert first.digest == prepare("tiny-line", tmp_path / "a", force=True).digest


def test_an_edit_makes_another_bundle(tiny: Any, tmp_path: Path) -> None:
    roots = {prepare("tiny-line", tmp_path).root}
    tiny.write(manifest=tiny.manifest.replace("A line", "A straight line"))
    roots.add(prepare("tiny-line", tmp_path).root)
    tiny.write(module=tiny.module + "\n# another remark\n")
    roots.add(prepare("tiny-line", tmp_path).root)
    tiny.write(weights="WEIGHTS = [1, 3, 1, 3, 1, 3, 1, 3]\n")
    roots.add(prepare("tiny-line", tmp_path).root)
    assert len(roots) == 4


@pytest.mark.parametrize("damage", ["manifest", "model", "missing"])
def test_a_damaged_bundle_is_made_again(tiny: Any, tmp_path: Path, damage: str) -> None:
    bundle = prepare("tiny-line", tmp_path)
    if damage == "manifest":
        (bundle.root / "bundle.json").write_text('{"schema_version": 1')
    elif damage == "model":
        (bundle.root / "fp32" / "model.onnx").write_bytes(b"")
    else:
        (bundle.root / "inputs" / "0.npy").unlink()
    told: list[str] = []
    assert prepare("tiny-line", tmp_path, progress=told.append).digest == bundle.digest
    assert "damaged" in told[0]
    read_bundle(bundle.root, check_files=True)


def test_a_changed_sample_is_found_by_the_full_check(tiny: Any, tmp_path: Path) -> None:
    root = prepare("tiny-line", tmp_path).root
    np.save(root / "inputs" / "0.npy", np.zeros((12, 4), np.float32))
    with pytest.raises(BundleError, match=r"0\.npy: wrong digest"):
        read_bundle(root, check_files=True)
    prepare("tiny-line", tmp_path, force=True)
    read_bundle(root, check_files=True)


def test_two_at_once_build_once(tiny: Any, tmp_path: Path) -> None:
    told: list[str] = []
    digests: list[str] = []
    threads = [
        threading.Thread(target=lambda: digests.append(prepare("tiny-line", tmp_path, progress=told.append).digest)) for _ in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(digests)) == 1
    assert len(digests) == 2
    assert told.count("building tiny-line") == 1


def test_what_a_killed_build_left_is_swept(tiny: Any, tmp_path: Path) -> None:
    root = prepare("tiny-line", tmp_path).root
    leftover = root.parent / f".{root.name}.abcdef.tmp"
    (leftover / "new").mkdir(parents=True)
    (root / "bundle.json").unlink()
    prepare("tiny-line", tmp_path)
    assert not leftover.exists()


def test_a_failed_build_leaves_the_old_bundle(tiny: Any, tmp_path: Path) -> None:
    bundle = prepare("tiny-line", tmp_path)
    from tiny_workloads import tiny_line  # type: ignore[import-not-found]

    tiny_line.build = lambda sources: 1 / 0
    with pytest.raises(ZeroDivisionError):
        prepare("tiny-line", tmp_path, force=True)
    assert read_bundle(bundle.root, check_files=True).digest == bundle.digest
    assert [path for path in bundle.root.parent.iterdir() if path.suffix == ".tmp"] == []


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('{"x": x[:12]}', '{"z": x[:12]}', "inputs are x; samples are given for z"),
        ('{"x": x[:12]}', '{"x": x[:12].astype(np.float64)}', "takes float32, the samples are float64"),
        ('{"x": x[:12]}', '{"x": x[:12, :3]}', "takes 4 a sample, the samples are 3"),
        ('{"x": x[:12]}', '{"x": x[:0]}', "there are no samples"),
        ('{"sum": x[:12].sum(axis=1)}', '{"sum": x[:9].sum(axis=1)}', "12 samples and another number of labels"),
        ('["x", "w"]', '["x", "v"]', "not a valid ONNX model"),
        ("float(np.mean(error < 1e-3))", "float('nan')", "closeness of the fp32 reference is nan"),
    ],
)
def test_a_draft_that_does_not_fit_is_refused(tiny: Any, tmp_path: Path, old: str, new: str, text: str) -> None:
    assert old in tiny.module
    tiny.write(module=tiny.module.replace(old, new))
    with pytest.raises(WorkloadError, match=text):
        prepare("tiny-line", tmp_path)


def test_a_gate_that_the_reference_misses_is_refused(tiny: Any, tmp_path: Path) -> None:
    tiny.write(manifest=tiny.manifest + "required = 1.5\n")
    with pytest.raises(WorkloadError, match=r"misses the gate of 1\.5 itself"):
        prepare("tiny-line", tmp_path)


def test_keep_must_name_an_output(tiny: Any, tmp_path: Path) -> None:
    tiny.write(manifest=tiny.manifest.replace("[title]", '[keep]\nz = "argmax"\n\n[title]'))
    with pytest.raises(WorkloadError, match="keep names z; the model's outputs are y"):
        prepare("tiny-line", tmp_path)


def test_an_argmax_is_kept_as_int32(tiny: Any, tmp_path: Path) -> None:
    manifest = tiny.manifest.replace("[title]", '[keep]\ny = "argmax"\n\n[title]')
    tiny.write(manifest=manifest, module=tiny.module.partition("def score")[0] + "def score(o, l, r):\n    return 1.0\n")
    bundle = prepare("tiny-line", tmp_path)
    assert bundle.keep == ("argmax",)
    assert bundle.outputs[0].shape == (None, 2)
    (kept,) = bundle.load_reference()
    assert (kept.dtype, kept.shape) == (np.int32, (12,))


def test_a_cache_that_cannot_be_written_is_named(tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "bundles").write_text("a file in the way")
    with pytest.raises(WorkloadError, match=r"cannot be written: .*NPUBENCH_CACHE"):
        prepare("tiny-line", tmp_path)
