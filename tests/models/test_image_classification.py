import numpy as np
import onnx
import pytest

from npubench.contract.bundle import Bundle
from npubench.plan.bundles import prepare
from npubench.plan.wheels import npubench_cache
from npubench_models.graphs.efficientnet_lite import efficientnet_lite0
from npubench_models.workloads.photographs import SAMPLE_VIEWS, SAMPLED

#: What is to be seen, as ImageNet's 1,000 classes have it, counted from 0.
SEEN = {
    "chelsea": {281: "tabby", 282: "tiger cat", 285: "Egyptian cat"},
    "coffee": {967: "espresso"},
    "camera": {872: "tripod"},
    "rocket": {657: "missile", 744: "projectile"},
    "china": {698: "palace"},
    "flower": {985: "daisy"},
}


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return prepare("image-classification", npubench_cache())


@pytest.mark.parametrize("photograph", SEEN)
def test_knows_what_a_photograph_shows(bundle: Bundle, photograph: str) -> None:
    logits = bundle.load_reference()[0][SAMPLED.index(photograph) * len(SAMPLE_VIEWS)]
    assert int(logits.argmax()) in SEEN[photograph]


def test_is_the_network_it_says(bundle: Bundle) -> None:
    model = onnx.load_model(bundle.model("fp32").path)
    # 4,652,008 published parameters, of which each of 21,008 channels has a scale that folding takes away.
    assert sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer if tensor.dims) == 4_652_008 - 21_008
    assert bundle.operations == 2 * 385_187_552


def test_samples_are_normalised(bundle: Bundle) -> None:
    (images,) = bundle.load_inputs()
    assert images.shape == (64, 3, 224, 224)
    assert images.min() >= -127 / 128 and images.max() <= 1.0
    assert len({image.tobytes() for image in images}) == 64


def test_mirrored_views_are_mirrored(bundle: Bundle) -> None:
    logits = bundle.load_reference()[0].reshape(len(SAMPLED), len(SAMPLE_VIEWS), -1)
    assert (logits[:, 0].argmax(axis=1) == logits[:, 1].argmax(axis=1)).sum() >= 5


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(KeyError, match="_conv_stem"):
        efficientnet_lite0({})
    with pytest.raises(ValueError, match=r"_conv_stem\.weight has shape"):
        efficientnet_lite0({"_conv_stem.weight": np.zeros((32, 1, 3, 3), np.float32)})
