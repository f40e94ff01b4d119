"""Ask for one sample over and over, against samples that are all different (MLPerf's TEST04): who remembers answers is faster.

LoadGen's own ``performance_issue_same`` asks for the same place in memory as well, and a CPU is honestly faster at inputs that
still lie in its caches: by a fifth and more for a small network with large inputs. So both sides here have as many samples in
memory and LoadGen takes each once (``performance_issue_unique``); on one side they all hold the same values.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np

from npubench.contract.runspec import LoadSpec
from npubench.measure.audits.bench import Bench, NotCarriedOut, shortened
from npubench.measure.audits.pairs import FEWEST_PAIRS, in_pairs, seen_rate
from npubench.measure.binding import Array
from npubench.measure.samples import SampleSet
from npubench.measure.trace import Trace

#: Fewer queries give no median to speak of.
_FEWEST_QUERIES = 4
#: What one side's samples may take in memory, bytes.
_MOST_BYTES = 1 << 28


class RepeatedSample:
    """The measured load with samples that are all different and with one sample in all their places, in turn."""

    name = "repeated-sample"

    def carry_out(self, bench: Bench) -> Mapping[str, Any]:
        """Return ``pairs``: median time in the executor with different samples and with one repeated, ns; and how many.

        Every pair draws anew, since samples may differ in what they cost.
        """
        load = bench.load
        with bench.guard.own():
            arrays = bench.bundle.load_inputs()
        asked, count = once_each(bench, sum(array[:1].nbytes for array in arrays), _MOST_BYTES, len(arrays[0]))
        if count < 2 * load.samples_per_query:
            raise NotCarriedOut(f"the workload has {count} samples, fewer than two queries need")
        generator = np.random.default_rng(secrets.randbits(64))

        def run(n: int, side: str) -> Trace:
            chosen = generator.choice(len(arrays[0]), count, replace=False) if side == "unique" else None
            only = int(generator.integers(len(arrays[0])))
            samples = SampleSet(_gather(arrays, chosen, only, count), bench.inputs, load.batch)
            with bench.laid(samples):
                return bench.window(asked, f"{side}-{n}", issue="unique")

        pairs = in_pairs(lambda n: run(n, "unique"), lambda n: run(n, "same"), bench.spec.audit_ns)
        return {"pairs": pairs, "samples": count}


def once_each(bench: Bench, size: int, most_bytes: int, most: int | None = None) -> tuple[LoadSpec, int]:
    """Return the load of a short window that asks for each sample once, and how many samples that takes.

    Args:
        bench: The run; its measured rate says how many samples go into a window.
        size: Of a sample, bytes.
        most_bytes: What all of them may take in memory.
        most: How many there are at most; ``None`` where they can be drawn.
    """
    load = bench.load
    least = _FEWEST_QUERIES * max(load.samples_per_query, load.batch)
    budget_s = bench.spec.audit_ns / 1e9 / FEWEST_PAIRS
    count = min(max(int(budget_s * seen_rate(bench.trace)), least), max(least, most_bytes // max(1, size)))
    count = count if most is None else min(count, most)
    return shortened(load, 1_000_000, max(1, count // load.samples_per_query)), count


def _gather(arrays: list[Array], chosen: Array | None, only: int, count: int) -> list[Array]:
    """Return ``count`` samples: those chosen, or one of them as often."""
    rows = np.full(count, only) if chosen is None else chosen
    return [np.asarray(array[rows]) for array in arrays]
