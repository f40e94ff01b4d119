"""Samples lie ready in the order they are asked for: a batch in that order is a view, also over the end; any other a copy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npubench.measure.samples import SampleSet

Make = Callable[[int], SampleSet]


def taken(samples: SampleSet, indices: list[int]) -> list[float]:
    return samples.take(indices)["x"][:, 0].tolist()


def test_one_sample_is_a_view_made_beforehand(make_samples: Make) -> None:
    samples = make_samples(4)
    assert samples.take([3]) is samples.single[3]
    assert taken(samples, [3]) == [3.0]


def test_samples_in_a_row_are_a_view(make_samples: Make) -> None:
    samples = make_samples(4)
    assert np.shares_memory(samples.take([2, 3, 4, 5])["x"], samples.single[4]["x"])
    assert taken(samples, [2, 3, 4, 5]) == [2, 3, 4, 5]


def test_a_batch_over_the_end_is_a_view(make_samples: Make) -> None:
    samples = make_samples(4)
    batch = samples.take([8, 9, 0, 1])["x"]
    assert np.shares_memory(batch, samples.single[8]["x"])
    assert batch[:, 0].tolist() == [8, 9, 0, 1]


def test_samples_out_of_order_are_gathered(make_samples: Make) -> None:
    samples = make_samples(4)
    assert taken(samples, [5, 2, 2, 9]) == [5, 2, 2, 9]
    assert not np.shares_memory(samples.take([5, 2])["x"], samples.single[5]["x"])


def test_the_order_asked_for_beforehand_is_the_order_of_the_views(make_samples: Make) -> None:
    samples = make_samples(3)
    samples.order([7, 1, 9, 0, 7, 1])
    assert taken(samples, [7, 1, 9]) == [7, 1, 9]
    assert np.shares_memory(samples.take([7, 1, 9])["x"], samples.single[9]["x"])
    assert np.shares_memory(samples.take([9, 0, 7])["x"], samples.single[9]["x"])


def test_what_the_executor_sees_is_read_only(make_samples: Make) -> None:
    samples = make_samples(2)
    for indices in ([1], [1, 2]):
        with pytest.raises(ValueError, match="read-only"):
            samples.take(indices)["x"][0, 0] = 7


def test_a_batch_larger_than_the_set_goes_round(make_samples: Make) -> None:
    samples = make_samples(25)
    indices = [n % 10 for n in range(4, 29)]
    assert taken(samples, indices) == indices


@given(data=st.data(), batch=st.integers(1, 16))
def test_whatever_is_asked_for_is_what_comes(make_samples: Make, data: st.DataObject, batch: int) -> None:
    samples = make_samples(batch)
    samples.order(data.draw(st.permutations(range(10))))
    start = data.draw(st.integers(0, 9))
    in_order = [list(samples.position)[(start + n) % 10] for n in range(batch)]
    asked = data.draw(st.just(in_order) | st.lists(st.integers(0, 9), min_size=1, max_size=batch))
    assert taken(samples, asked) == asked
