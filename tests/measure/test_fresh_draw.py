"""Inputs that no bundle has: drawn from a seed alone, and such as the model could have been given."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from npubench.measure.audits.fresh_draw import draw_bases, draw_fresh, inputs_digest, whole_samples

RANDOM = np.random.default_rng(3)
FLOATS = RANDOM.uniform(-1.0, 2.0, (20, 3, 5)).astype(np.float32)
TOKENS = RANDOM.integers(0, 50, (20, 64)).astype(np.int32)
BASES = [4, 0, 17]
GOLDEN_BASES = [3, 0, 1]
GOLDEN_DIGEST = "sha256:07138a22486812a8f90616a5921c101f5304ded2ae675b30b10f0e220c446ad7"


@pytest.mark.parametrize(
    "samples", [FLOATS, TOKENS, FLOATS.astype(np.float16), TOKENS.astype(np.uint8)], ids=lambda s: str(s.dtype)
)
def test_fresh_inputs_are_new_and_of_the_samples_kind(samples: Any) -> None:
    (fresh,) = draw_fresh([samples], BASES, 9)
    assert (fresh.dtype, fresh.shape) == (samples.dtype, (3, *samples.shape[1:]))
    assert samples.min() <= fresh.min() <= fresh.max() <= samples.max()
    for row in fresh:
        assert not any(np.array_equal(row, known) for known in samples)


def test_a_token_stays_one_that_a_sample_has() -> None:
    (fresh,) = draw_fresh([TOKENS], BASES, 9)
    assert set(fresh.reshape(-1)) <= set(TOKENS.reshape(-1))
    changed = (fresh != TOKENS[BASES]).mean()
    assert 0.1 < changed < 0.6


def test_the_same_seed_draws_the_same_inputs_everywhere() -> None:
    # The digest is that of another machine and another release of NumPy: the raw stream of PCG64 is stable.
    assert inputs_digest(draw_fresh([FLOATS, TOKENS], BASES, 9)) == inputs_digest(draw_fresh([FLOATS, TOKENS], BASES, 9))
    assert inputs_digest(draw_fresh([FLOATS], BASES, 9)) != inputs_digest(draw_fresh([FLOATS], BASES, 10))
    grid = [np.arange(24, dtype=np.float32).reshape(4, 6) / 7, np.arange(24, dtype=np.int64).reshape(4, 6)]
    assert draw_bases(3, 4, 11) == GOLDEN_BASES
    assert inputs_digest(draw_fresh(grid, [0, 2], 11)) == GOLDEN_DIGEST


def test_bases_are_different_samples() -> None:
    assert sorted(draw_bases(20, 20, 1)) == list(range(20))
    assert len(draw_bases(50, 20, 1)) == 20
    assert draw_bases(5, 20, 1) != draw_bases(5, 20, 2)


def test_one_sample_alone_makes_fresh_inputs_too() -> None:
    (fresh,) = draw_fresh([FLOATS[:1]], [0], 9)
    assert not np.array_equal(fresh, FLOATS[:1])


@pytest.mark.parametrize("shape, samples, count", [((None, 10), 64, 12), ((None, 10), 5, 5), ((None, 40, 18710), 96, 3)])
def test_fewer_whole_outputs_are_kept_where_they_are_large(shape: Any, samples: int, count: int) -> None:
    bundle: Any = SimpleNamespace(outputs=[SimpleNamespace(shape=shape, dtype="float32")], samples=samples)
    assert whole_samples(bundle) == count
