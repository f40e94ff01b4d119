"""The published workloads, for real: their gates must open for the reference and stay shut for a broken device.

Bundles come from the user's cache (``NPUBENCH_CACHE``); the first run downloads some 80 MB by pip.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from npubench.contract.bundle import Bundle, read_bundle
from npubench.errors import WorkloadError
from npubench.plan.bundles import prepare
from npubench.plan.reference import run_reference
from npubench.plan.wheels import npubench_cache
from npubench.plan.workload import Array, WorkloadModule, find_workload

NAMES = ("doc-orientation", "face-detection", "file-type", "ocr-line")

#: Operations of one inference, from parameter and MAC counts that were taken independently (×2, in millions).
OPERATIONS = {"doc-orientation": 308, "face-detection": 26, "file-type": 740, "ocr-line": 2180}

Outputs = dict[str, Array]


@cache
def prepared(name: str) -> Bundle:
    return prepare(name, npubench_cache())


@pytest.fixture(params=NAMES)
def bundle(request: pytest.FixtureRequest) -> Bundle:
    try:
        return prepared(request.param)
    except WorkloadError as error:
        if "cannot download" in str(error):
            pytest.skip(str(error))
        raise


def module(bundle: Bundle) -> WorkloadModule:
    return find_workload(bundle.workload).load()


def reference(bundle: Bundle) -> Outputs:
    return dict(zip([spec.name for spec in bundle.outputs], bundle.load_reference(), strict=True))


def test_the_bundle_is_whole_and_of_a_moderate_size(bundle: Bundle) -> None:
    read_bundle(bundle.root, check_files=True)
    assert sum(path.stat().st_size for path in bundle.root.rglob("*")) < 70e6
    assert 64 <= bundle.samples <= 200
    assert any(name.startswith("licences/") for name in bundle.files)


def test_batch_is_the_only_free_axis(bundle: Bundle) -> None:
    for spec in (*bundle.inputs, *bundle.outputs):
        assert spec.shape[0] is None
        assert None not in spec.shape[1:]


def test_operations_agree_with_an_independent_count(bundle: Bundle) -> None:
    assert bundle.operations / 1e6 == pytest.approx(OPERATIONS[bundle.workload], rel=0.02)


def test_samples_and_calibration_are_disjoint(bundle: Bundle) -> None:
    (samples,) = bundle.load_inputs()
    calibration = np.load(bundle.root / "calibration" / "0.npy")
    assert not {sample.tobytes() for sample in samples} & {sample.tobytes() for sample in calibration}


def test_fp32_and_int8_pass_the_gate_on_the_reference(bundle: Bundle) -> None:
    assert set(bundle.variants) == {"fp32", "int8"}
    for variant in bundle.variants.values():
        assert variant.reference_score is not None
        assert variant.reference_score >= bundle.gate.required
    kept = reference(bundle)
    assert module(bundle).score(kept, bundle.load_labels(), kept) == bundle.gate.reference


def test_the_gate_can_tell_one_percent(bundle: Bundle) -> None:
    assert 0.95 < bundle.gate.reference <= 1
    assert bundle.gate.required < bundle.gate.reference
    assert bundle.gate.claim == "accuracy"


def shuffled(values: Array) -> Array:
    return np.roll(values, len(values) // 3, axis=0)


def rolled_classes(values: Array) -> Array:
    return np.roll(values, 1, axis=-1)


def one_in_ten_wrong(values: Array) -> Array:
    changed = values.copy()
    changed[::10] = np.roll(values, len(values) // 2 + 1, axis=0)[::10]
    return changed


def garbage(values: Array) -> Array:
    return np.random.default_rng(5).integers(-(2**31), 2**31 - 1, values.shape).astype(values.dtype)


def not_a_number(values: Array) -> Array:
    return np.full_like(values, np.nan) if values.dtype.kind == "f" else np.full_like(values, -1)


@pytest.mark.parametrize(
    "breakage", [shuffled, rolled_classes, one_in_ten_wrong, np.zeros_like, np.ones_like, garbage, not_a_number]
)
def test_broken_outputs_fail_the_gate(bundle: Bundle, breakage: Callable[[Array], Array]) -> None:
    kept = reference(bundle)
    if breakage is rolled_classes and "argmax" in bundle.keep:
        pytest.skip("what is kept has no class axis")
    score = module(bundle).score({name: breakage(values) for name, values in kept.items()}, bundle.load_labels(), kept)
    assert 0 <= score < bundle.gate.required


def zeroed(weight: Array) -> Array:
    return np.zeros_like(weight)


def noisy(weight: Array) -> Array:
    return weight + np.random.default_rng(4).normal(0, 2 * weight.std(), weight.shape).astype(weight.dtype)


@pytest.mark.parametrize("breakage", [zeroed, noisy])
def test_broken_weights_fail_the_gate(bundle: Bundle, breakage: Callable[[Array], Array]) -> None:
    model = onnx.load_model(bundle.root / "fp32" / "model.onnx")
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) >= 2:
            tensor.CopyFrom(numpy_helper.from_array(breakage(numpy_helper.to_array(tensor)), tensor.name))
    names = [spec.name for spec in bundle.inputs]
    inputs = dict(zip(names, bundle.load_inputs(), strict=True))
    keep = dict(zip([spec.name for spec in bundle.outputs], bundle.keep, strict=True))
    outputs = run_reference(model, inputs, keep).outputs
    assert module(bundle).score(outputs, bundle.load_labels(), reference(bundle)) < bundle.gate.required


def test_no_hangul_is_claimed() -> None:
    manifest = find_workload("ocr-line").manifest
    assert "no Hangul" in manifest.title.en
    assert "한글 미포함" in manifest.title.ko
