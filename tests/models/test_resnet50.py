import hashlib

import numpy as np
import onnx
import pytest

from npubench.contract.bundle import Bundle
from npubench.plan.bundles import prepare
from npubench.plan.wheels import npubench_cache
from npubench.plan.workload import find_workload


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return prepare("resnet50", npubench_cache())


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> onnx.ModelProto:
    return onnx.load_model(bundle.model("fp32").path)


def strides(node: onnx.NodeProto) -> list[int]:
    return next(list(a.ints) for a in node.attribute if a.name == "strides")


def test_is_resnet50_v1_5(bundle: Bundle, model: onnx.ModelProto) -> None:
    # 25,557,032 published parameters, of which each of 26,560 channels has a scale that folding takes away.
    assert sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer) == 25_557_032 - 26_560
    assert bundle.operations == 2 * 4_089_184_256
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 53
    # v1.5 strides in the 3×3; v1 would in conv1.
    assert {node.name.split(".")[-1] for node in convolutions if strides(node) == [2, 2]} == {"stem", "conv2", "shortcut"}


def test_weights_have_the_same_bits_everywhere(model: onnx.ModelProto) -> None:
    digest = hashlib.sha256()
    for tensor in model.graph.initializer:
        digest.update(tensor.raw_data)
    assert digest.hexdigest() == "58d30b492324375c64921d442adae50909a9599426ffe7e56ed9d90c9e26fb31"


def test_logits_depend_on_the_image(bundle: Bundle) -> None:
    (logits,) = bundle.load_reference()
    assert 0.05 < logits.std() < 5
    assert logits.std(axis=0).mean() > logits.mean(axis=0).std()
    assert len(set(logits.argmax(axis=1).tolist())) > 8


def test_says_that_it_knows_nothing() -> None:
    manifest = find_workload("resnet50").manifest
    assert manifest.gate.claim == "fidelity"
    assert "seeded" in manifest.title.en and "시드" in manifest.title.ko and "정확도 아님" in manifest.title.ko
