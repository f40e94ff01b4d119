"""Ask for inputs that the bundle does not have: who has precomputed its samples, or recognises them, has nothing for these."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np

from npubench.measure.audits.bench import Bench
from npubench.measure.audits.fresh_draw import draw_bases, draw_fresh, inputs_digest, seed_of_run, whole_samples
from npubench.measure.audits.pairs import FEWEST_PAIRS, in_pairs
from npubench.measure.audits.repeated_sample import once_each
from npubench.measure.binding import Array
from npubench.measure.samples import SampleSet
from npubench.measure.trace import Trace

#: What the inputs of one timed window may take in memory, bytes: they are drawn afresh for each.
_MOST_BYTES = 1 << 26
#: How many times as long as it should a window may last: fresh inputs may be far slower than what was measured.
_LONGEST = 4


class FreshInputs:
    """The same path and load with fresh inputs and with samples of the bundle: whole outputs of some, and times in turn."""

    name = "fresh-inputs"

    def carry_out(self, bench: Bench) -> Mapping[str, Any]:
        """Return what was drawn, and ``pairs``: median time in the executor with fresh inputs and with the bundle's own, ns.

        The arrays ``fresh-inputs/<n>`` are the whole outputs, first of the samples that the fresh inputs begin from, then of
        the fresh inputs. ``answer_ns`` is how long each of their requests took, one after the other. In the timed windows each
        input is asked for once, and every window draws its own: who remembers answers has none for them.
        """
        seed, bundle, batch = seed_of_run(bench.folder), bench.bundle, bench.load.batch
        with bench.guard.own():
            samples = bundle.load_inputs()
        bases = draw_bases(whole_samples(bundle), bundle.samples, seed)
        own, fresh = _own(samples, bases), draw_fresh(samples, bases, seed)
        outputs, times = bench.answers([np.concatenate(pair) for pair in zip(own, fresh, strict=True)], batch)
        for n, values in enumerate(outputs):
            bench.arrays[f"{self.name}/{n}"] = values
        load, count = once_each(bench, sum(values[:1].nbytes for values in samples), _MOST_BYTES)
        longest_ns = _LONGEST * bench.spec.audit_ns // FEWEST_PAIRS
        generator = np.random.default_rng(secrets.randbits(64))

        def run(n: int, which: str) -> Trace:
            chosen = [int(base) for base in generator.integers(bundle.samples, size=count)]
            arrays = _own(samples, chosen) if which == "known" else draw_fresh(samples, chosen, secrets.randbits(32))
            with bench.laid(SampleSet(arrays, bench.inputs, batch)):
                return bench.window(load, f"{which}-{n}", issue="unique", longest_ns=longest_ns)

        pairs = in_pairs(lambda n: run(n, "fresh"), lambda n: run(n, "known"), bench.spec.audit_ns)
        return {"seed": seed, "bases": bases, "digest": inputs_digest(fresh), "answer_ns": times, "pairs": pairs}


def _own(samples: list[Array], rows: list[int]) -> list[Array]:
    """Return samples of the bundle: one array an input, ``[len(rows), …]``."""
    return [np.array(values[rows]) for values in samples]
