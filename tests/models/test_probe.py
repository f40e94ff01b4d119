import numpy as np
import pytest

from npubench.contract.bundle import Bundle
from npubench.plan.bundles import prepare
from npubench.plan.wheels import npubench_cache
from npubench.plan.workload import find_workload
from npubench.testing.graph import read_graph
from npubench_models.workloads.probe import matrix, offsets, samples


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return prepare("probe", npubench_cache())


def exact() -> np.ndarray:
    """The results in Python's own integers, digit by digit."""
    x, w, b = samples().tolist(), matrix().tolist(), offsets().tolist()
    return np.array([[max(sum(r[i] * w[i][k] for i in range(16)) + b[k], 0) for k in range(8)] for r in x])


def test_labels_and_reference_are_exact(bundle: Bundle) -> None:
    np.testing.assert_array_equal(bundle.load_labels()["y"], exact())
    np.testing.assert_array_equal(bundle.load_reference()[0], exact())


def test_the_simulated_device_computes_it(bundle: Bundle) -> None:
    graph = read_graph(bundle.model("fp32").path)
    np.testing.assert_array_equal(graph.compute({"x": np.asarray(bundle.load_inputs()[0])})["y"], exact())


def test_answers_tell_samples_apart_and_fit_float32(bundle: Bundle) -> None:
    assert len(np.unique(exact(), axis=0)) == len(exact()) == 64
    assert (np.abs(samples()).max() * np.abs(matrix()).sum(axis=0) + np.abs(offsets())).max() < 2**24


def test_is_never_taken_for_a_workload() -> None:
    manifest = find_workload("probe").manifest
    assert manifest.simulated_only and manifest.precisions == ("fp32",)
    assert "SIMULATED" in manifest.title.en and "모의" in manifest.title.ko
