"""A tiny executor's tensors and samples: y = 2 x, where sample ``i`` is filled with ``i``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from npubench.contract.tensors import TensorSpec
from npubench.measure.binding import bind
from npubench.measure.samples import SampleSet

COUNT = 10


@pytest.fixture(scope="session")
def x() -> TensorSpec:
    return TensorSpec("x", "float32", (None, 4))


@pytest.fixture(scope="session")
def y() -> TensorSpec:
    return TensorSpec("y", "float32", (None, 4))


@pytest.fixture(scope="session")
def make_samples(x: TensorSpec) -> Callable[[int], SampleSet]:
    def make(batch: int) -> SampleSet:
        values = np.repeat(np.arange(COUNT, dtype=np.float32)[:, None], 4, axis=1)
        return SampleSet([values], bind([x], [x], "input"), batch)

    return make
