"""Resample a percentile of a series by blocks, with what depends on one series alone worked out once.

A reference is compared with thousands of others: its blocks, and its resampled percentiles, are the same each time. Which
blocks are drawn depends on the seed and on how many there are alone, so that nothing here changes a figure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

#: Blocks of the bootstrap: enough for its distribution, each as long as possible. Below the lower number the interval
#: of a percentile is known to be too short.
MIN_BLOCKS, MAX_BLOCKS = 20, 50
MIN_BLOCK_LENGTH = 10

#: Candidate values of a resampled percentile; the interval's ends are exact to this part of their range.
_GRID = 2000

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """A series cut into blocks of consecutive values.

    Args:
        n: How many values it has.
        percentile: Which percentile of it, between 0 and 1.
        value: That percentile, by nearest rank.
        parts: float64 ``[blocks]``: the percentile of each block.
        sizes: int64 ``[blocks]``: how many values each has.
        candidates: int64 ``[candidates]``: values that a resample's percentile can be, ascending.
        counts: int32 ``[candidates, blocks]``: how many values of a block are no larger than a candidate.
    """

    n: int
    percentile: float
    value: float
    parts: Floats
    sizes: NDArray[np.int64]
    candidates: NDArray[np.int64]
    counts: NDArray[np.int32]
    _drawn: dict[tuple[int, int], Floats] = field(default_factory=dict)

    def resampled_first(self, resamples: int, seed: int) -> Floats:
        """Return ``[resamples]``: its percentile in each, by what a seed draws first; kept for the next time."""
        if (resamples, seed) not in self._drawn:
            self._drawn[resamples, seed] = self.resampled(_draws(seed, resamples, len(self.parts), 0)[0])
        return self._drawn[resamples, seed]

    def resampled_second(self, resamples: int, seed: int, first: int) -> Floats:
        """Return ``[resamples]``: its percentile in each, by what a seed draws behind a series of ``first`` blocks."""
        return self.resampled(_draws(seed, resamples, first, len(self.parts))[1])

    def resampled(self, copies: NDArray[np.int32]) -> Floats:
        """Return the percentile of every resample.

        No resample is ever built. A resample is so many copies of each block, so its distribution function is the blocks'
        counts up to a value, weighted by the copies. And since the percentile of a mixture lies between the smallest and
        the largest of its parts' percentiles, only values within those can be it.

        Args:
            copies: int32 ``[resamples, blocks]``: how often each block is in each.
        """
        ranks = np.maximum(np.ceil(self.percentile * (copies @ self.sizes) * (1.0 - 1e-12)), 1.0)
        # Bisection for the first candidate at which each resample has counted up to its rank.
        first = np.zeros(len(copies), dtype=np.intp)
        last = np.full(len(copies), self.candidates.size - 1, dtype=np.intp)
        while np.any(first < last):
            middle = (first + last) // 2
            reached = np.einsum("rb,rb->r", copies, self.counts[middle]) >= ranks
            first, last = np.where(reached, first, middle + 1), np.where(reached, middle, last)
        drawn: Floats = self.candidates[first].astype(np.float64)
        return drawn


def cut(values: NDArray[np.int64], percentile: float) -> Blocks:
    """Cut a series, in order of time and not empty, into the blocks of the bootstrap; whole where it is too short for two."""
    count = min(MAX_BLOCKS, max(values.size // MIN_BLOCK_LENGTH, 1))
    blocks = [np.sort(block) for block in np.array_split(values, count)]
    parts = np.array([block[nearest_rank(block.size, percentile) - 1] for block in blocks], dtype=np.float64)
    candidates = np.unique(values[(values >= parts.min()) & (values <= parts.max())])
    if candidates.size > _GRID:
        candidates = candidates[np.linspace(0, candidates.size - 1, _GRID).round().astype(np.intp)]
    rank = nearest_rank(values.size, percentile) - 1
    return Blocks(
        n=int(values.size),
        percentile=percentile,
        value=float(np.partition(values, rank)[rank]),
        parts=parts,
        sizes=np.array([block.size for block in blocks]),
        candidates=candidates,
        counts=np.stack([np.searchsorted(block, candidates, side="right") for block in blocks], axis=1).astype(np.int32),
    )


def nearest_rank(n: int, percentile: float) -> int:
    """Return the nearest rank of a percentile among ``n``, counted from 1; takes back what rounding adds to a whole p · n."""
    return max(math.ceil(percentile * n * (1.0 - 1e-12)), 1)


@lru_cache(maxsize=8)
def _draws(seed: int, resamples: int, first: int, second: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return how often each block is drawn in each resample, of a series of ``first`` blocks and of one of ``second``."""
    generator = np.random.default_rng(seed)
    return _copies(generator, first, resamples), _copies(generator, second, resamples)


def _copies(generator: np.random.Generator, blocks: int, resamples: int) -> NDArray[np.int32]:
    """Draw so many blocks with replacement, ``resamples`` times over.

    As a multinomial draw, in a quarter of its time: which block is drawn each time, then how often each was.
    """
    if not blocks:
        return np.zeros((resamples, 0), dtype=np.int32)
    drawn = generator.integers(0, blocks, size=(resamples, blocks)) + np.arange(resamples)[:, None] * blocks
    copies = np.bincount(drawn.ravel(), minlength=resamples * blocks).reshape(resamples, blocks).astype(np.int32)
    copies.flags.writeable = False
    return copies
