"""Ask for batches of every size: each row must be worked on, and more rows must not take less time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from npubench.contract.bundle import keep_output
from npubench.measure.audits.bench import Bench
from npubench.measure.binding import Array
from npubench.measure.process import quiet_interpreter

#: What is tried where an executor takes a batch of any size, and what is not exceeded where it takes a large one.
_UNBOUNDED, _LARGEST = 8, 256
#: Rounds over all sizes that are timed.
_FEWEST_ROUNDS, _MOST_ROUNDS = 5, 30


class BatchWork:
    """Batches of 1, 2, 4 … different samples, alone on the device and in turn."""

    name = "batch-work"

    def carry_out(self, bench: Bench) -> Mapping[str, Any]:
        """Return ``batches`` and ``times_ns``: a row a round, each size's time in the executor.

        The outputs of an untimed round before them go to ``batch-work/<batch>/<output>``, with the samples they belong to in
        ``batch-work/<batch>/sample``.
        """
        batches = sizes(bench.windows.dispatcher.executor.max_batch, bench.load.batch, bench.bundle.samples)
        generator = np.random.default_rng(bench.load.seeds.subset)
        chosen = {size: [int(n) for n in generator.choice(bench.bundle.samples, size, replace=False)] for size in batches}
        arrays = {size: bench.inputs_of(samples) for size, samples in chosen.items()}
        # The first request of a size may be what a runtime prepares itself by.
        for size in batches:
            outputs, _ = bench.answers(arrays[size], size)
            self._keep(bench, size, chosen[size], outputs)
        times: list[list[int]] = []
        with quiet_interpreter():
            until = time.monotonic_ns() + bench.spec.audit_ns
            while len(times) < _FEWEST_ROUNDS or (len(times) < _MOST_ROUNDS and time.monotonic_ns() < until):
                order = batches if len(times) % 2 else list(reversed(batches))
                took = {size: bench.answers(arrays[size], size)[1][0] for size in order}
                times.append([took[size] for size in batches])
        return {"batches": batches, "times_ns": times}

    def _keep(self, bench: Bench, size: int, samples: Sequence[int], outputs: Sequence[Array]) -> None:
        """Leave one batch's outputs as the accuracy phase leaves its own."""
        place = f"{self.name}/{size}"
        bench.arrays[f"{place}/sample"] = np.asarray(samples, np.int64)
        for n, (values, keep) in enumerate(zip(outputs, bench.bundle.keep, strict=True)):
            bench.arrays[f"{place}/{n}"] = keep_output(values, keep)


def sizes(max_batch: int | None, batch: int, samples: int) -> list[int]:
    """Return the batches to try: powers of two up to the executor's largest, and that one itself."""
    largest = min(max_batch or max(batch, _UNBOUNDED), samples, _LARGEST)
    powers = [1 << n for n in range(largest.bit_length()) if 1 << n < largest]
    return [*powers, largest]
