"""Measure the same load again with its own seeds and with others (MLPerf's TEST05): who knows the sequence is faster at it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from npubench.measure.audits.bench import Bench
from npubench.measure.audits.pairs import FEWEST_PAIRS, in_pairs, service_ns
from npubench.measure.loadgen import with_seed
from npubench.measure.trace import Trace

#: Other seeds lie this far off: beyond those of every other window of a run and of its repeats.
_NEAREST, _SPAN = 1 << 24, 1 << 32
#: Fewer queries give no median to speak of.
_FEWEST_QUERIES = 4


class OtherSeeds:
    """The measured load in turn with the seeds of the measured window and with seeds nobody can know beforehand."""

    name = "other-seeds"

    def carry_out(self, bench: Bench) -> Mapping[str, Any]:
        """Return ``pairs``: median time in the executor with other seeds and with the measured ones, ns; and the ``offsets``."""
        least_ns = int(_FEWEST_QUERIES * service_ns(bench.trace))
        # LoadGen's sequence follows from its fewest queries as well as from its seeds: only the end is brought forward.
        load = replace(bench.load, min_duration_ns=max(bench.spec.audit_ns // FEWEST_PAIRS, least_ns))
        checked = bench.spec.checked_queries
        offsets: list[int] = []

        def other(n: int) -> Trace:
            offsets.append(_NEAREST + secrets.randbelow(_SPAN))
            return bench.window(with_seed(load, offsets[-1]), f"other-{n}", longest_ns=load.min_duration_ns, checked=checked)

        def again(n: int) -> Trace:
            return bench.window(load, f"again-{n}", longest_ns=load.min_duration_ns, checked=checked)

        pairs = in_pairs(other, again, bench.spec.audit_ns)
        return {"pairs": pairs, "offsets": offsets}
