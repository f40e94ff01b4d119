"""What every request is checked against before a runtime sees it, and the sentence that a wrong one gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from npubench.contract import TensorSpec, input_check
from npubench.measure.binding import bind

IMAGE = TensorSpec("image", "float32", (None, 3, 4))
MASK = TensorSpec("mask", "uint8", (None, None))


def image(batch: int = 1, dtype: str = "float32", *rest: int) -> np.ndarray[Any, Any]:
    return np.zeros((batch, *(rest or (3, 4))), dtype)


def mask(batch: int = 1, length: int = 5) -> np.ndarray[Any, Any]:
    return np.zeros((batch, length), np.uint8)


@pytest.mark.parametrize("batch", [1, 2, 4])
@pytest.mark.parametrize("length", [0, 1, 5])
def test_a_good_request_gives_its_batch(batch: int, length: int) -> None:
    check = input_check([IMAGE, MASK], 4)
    assert check({"image": image(batch), "mask": mask(batch, length)}) == batch
    assert check({"mask": mask(batch, length), "image": image(batch)}) == batch


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "input 'image' is missing; given are: none"),
        ({"image": image()}, "input 'mask' is missing; given are: image"),
        ({"image": image(), "mask": mask(), "extra": mask()}, "unknown input 'extra'; valid are: image, mask"),
        ({"image": image(), "masks": mask()}, "unknown input 'masks'; did you mean 'mask'?"),
        ({"image": image(), 7: mask()}, "unknown input '7'; valid are: image, mask"),
        ({"image": image().tolist(), "mask": mask()}, "input 'image' is of type list, not a numpy array"),
        ({"image": None, "mask": mask()}, "input 'image' is of type NoneType, not a numpy array"),
        (
            {"image": image(1, "float64"), "mask": mask()},
            "input 'image' is float64 of shape [1, 3, 4]; declared is float32 of shape [1…4, 3, 4]",
        ),
        (
            {"image": image(1, ">f4"), "mask": mask()},
            "input 'image' is >f4 of shape [1, 3, 4]; declared is float32 of shape [1…4, 3, 4]",
        ),
        (
            {"image": image(1, "float32", 4, 3), "mask": mask()},
            "input 'image' is float32 of shape [1, 4, 3]; declared is float32 of shape [1…4, 3, 4]",
        ),
        (
            {"image": image()[0], "mask": mask()},
            "input 'image' is float32 of shape [3, 4]; declared is float32 of shape [1…4, 3, 4]",
        ),
        (
            {"image": image(), "mask": mask()[..., None]},
            "input 'mask' is uint8 of shape [1, 5, 1]; declared is uint8 of shape [1…4, any]",
        ),
        ({"image": image(), "mask": mask()[0]}, "input 'mask' is uint8 of shape [5]; declared is uint8 of shape [1…4, any]"),
        (
            {"image": np.float32(1)[...], "mask": mask()},
            "input 'image' is float32 of shape []; declared is float32 of shape [1…4, 3, 4]",
        ),
        (
            {"image": image(5), "mask": mask(5)},
            "input 'image' is float32 of shape [5, 3, 4]; declared is float32 of shape [1…4, 3, 4]",
        ),
        (
            {"image": image(0), "mask": mask(0)},
            "input 'image' is float32 of shape [0, 3, 4]; declared is float32 of shape [1…4, 3, 4]",
        ),
        ({"image": image(3), "mask": mask(2)}, "input 'mask' has a batch of 2, and the input before it 3"),
    ],
)
def test_a_wrong_request_is_refused_in_one_sentence(given: Mapping[Any, Any], words: str) -> None:
    check = input_check([IMAGE, MASK], 4)
    with pytest.raises(ValueError) as caught:
        check(given)
    assert str(caught.value) == words
    assert check({"image": image(), "mask": mask()}) == 1


def test_without_a_largest_batch_any_but_none_goes() -> None:
    check = input_check([IMAGE])
    assert check({"image": image(1000)}) == 1000
    with pytest.raises(ValueError, match=r"\[0, 3, 4\]; declared is float32 of shape \[any, 3, 4\]"):
        check({"image": image(0)})


def test_a_fixed_batch_is_taken_as_it_is() -> None:
    check = input_check([TensorSpec("x", "float32", (2, 3, 4))], 2)
    assert check({"x": image(2)}) == 2
    for batch in (1, 3):
        with pytest.raises(ValueError, match=rf"\[{batch}, 3, 4\]; declared is float32 of shape \[2, 3, 4\]"):
            check({"x": image(batch)})


def test_a_tensor_without_axes_has_no_say_in_the_batch() -> None:
    check = input_check([TensorSpec("scale", "float32", ()), IMAGE], 4)
    assert check({"scale": np.array(1, np.float32), "image": image(3)}) == 3
    with pytest.raises(ValueError, match=r"'scale' is float32 of shape \[1\]; declared is float32 of shape \[\]"):
        check({"scale": np.ones(1, np.float32), "image": image(3)})
    assert input_check([TensorSpec("scale", "float32", ())])({"scale": np.array(1, np.float32)}) == 1


def test_tensors_without_a_name_go_by_the_keys_that_the_harness_hands_in() -> None:
    specs = [TensorSpec("", "float32", (None, 3, 4)), TensorSpec("", "uint8", (None, None))]
    keys = [binding.key for binding in bind([IMAGE, MASK], specs, "input")]
    check = input_check(specs, 4)
    assert check(dict(zip(keys, (image(2), mask(2)), strict=True))) == 2
    with pytest.raises(ValueError, match=r"unknown input ''; valid are: input0, input1"):
        check({"": image(), "input1": mask()})
