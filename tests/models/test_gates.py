"""Every gate of these workloads lets the reference pass and stops a broken model; no answer, however wrong, ends the scoring."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from npubench.contract.bundle import Bundle, Gate
from npubench.plan.bundles import prepare
from npubench.plan.reference import run_reference
from npubench.plan.wheels import npubench_cache
from npubench.plan.workload import find_workload

Array = np.ndarray[Any, Any]
Change = Callable[[Array], Array]

NAMES = ("image-classification", "probe", "resnet50", "sst-forecast")


@pytest.fixture(scope="module", params=NAMES)
def bundle(request: pytest.FixtureRequest) -> Bundle:
    return prepare(request.param, npubench_cache())


def zeroed(weights: Array) -> Array:
    return np.zeros_like(weights)


def permuted(weights: Array) -> Array:
    return np.random.default_rng(0).permutation(weights.ravel()).reshape(weights.shape)


def passes(gate: Gate, score: float) -> bool:
    assert np.isfinite(score)
    return score >= gate.required if gate.higher_is_better else score <= gate.required


def score(bundle: Bundle, outputs: Mapping[str, Array]) -> float:
    reference = dict(zip((spec.name for spec in bundle.outputs), bundle.load_reference(), strict=True))
    return find_workload(bundle.workload).load().score(outputs, bundle.load_labels(), reference)


def inputs(bundle: Bundle) -> dict[str, Array]:
    return {spec.name: np.asarray(values) for spec, values in zip(bundle.inputs, bundle.load_inputs(), strict=True)}


def test_every_variant_passes(bundle: Bundle) -> None:
    for precision, variant in bundle.variants.items():
        kept = {spec.name: values for spec, values in zip(bundle.outputs, bundle.load_reference(precision), strict=True)}
        assert score(bundle, kept) == variant.reference_score
        assert passes(bundle.gate, score(bundle, kept)), precision


@pytest.mark.parametrize("change", [zeroed, permuted])
def test_a_broken_model_fails(bundle: Bundle, change: Change) -> None:
    model = onnx.load_model(bundle.model("fp32").path)
    for tensor in model.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.dtype == np.float32 and weights.ndim >= 2:
            tensor.CopyFrom(numpy_helper.from_array(change(weights), tensor.name))
    assert not passes(bundle.gate, score(bundle, run_reference(model, inputs(bundle), {}).outputs))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, 0.0])
def test_garbage_fails_and_is_scored(bundle: Bundle, value: float) -> None:
    garbage = {
        spec.name: np.full_like(values, value) for spec, values in zip(bundle.outputs, bundle.load_reference(), strict=True)
    }
    assert not passes(bundle.gate, score(bundle, garbage))


def test_answers_in_another_order_fail(bundle: Bundle) -> None:
    moved = {spec.name: np.roll(values, 1, axis=0) for spec, values in zip(bundle.outputs, bundle.load_reference(), strict=True)}
    if bundle.workload == "image-classification":
        # Neighbouring views of one photograph may well have one class.
        moved = {name: np.roll(values, 8, axis=0) for name, values in moved.items()}
    assert not passes(bundle.gate, score(bundle, moved))


def test_calibration_has_no_sample(bundle: Bundle) -> None:
    model = bundle.model("fp32")
    samples = inputs(bundle)
    for name, path in model.calibration.items():
        seen = {row.tobytes() for row in samples[name]}
        assert not any(row.tobytes() in seen for row in np.load(path))
