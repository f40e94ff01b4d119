"""Let the device rest once everything on it is closed, so that the idle baseline can be held against a real idle."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, Protocol

from npubench.contract.runspec import Phase
from npubench.measure.audits.bench import Bench

#: Threads of a runtime's pool may spin for a while after their last work (OpenMP's and TBB's for up to 0.2 s).
_SETTLE_S = 0.5
_SHORT_S = 0.5


class ClosedProbe(Protocol):
    """As :class:`npubench.measure.audits.bench.Probe`, after the executor was closed, in the phase ``phase``."""

    name: str
    phase: Phase

    def carry_out(self, bench: Bench) -> Mapping[str, Any]:
        """Observe; see :meth:`npubench.measure.audits.bench.Probe.carry_out`."""


class Rest:
    """Do nothing for as long as the idle baseline lasted, while the samplers go on."""

    name = "idle-baseline"
    phase = Phase.REST

    def carry_out(self, bench: Bench) -> Mapping[str, Any]:
        """Return when the rest was, ns, and what CPU time this process took in it, s; the power is in the samplers' files.

        Where nothing measures power the rest is a short one: what goes on working after ``close`` is seen all the same.
        """
        time.sleep(_SETTLE_S)
        before, start = os.times(), time.monotonic_ns()
        time.sleep(bench.spec.baseline_ns / 1e9 if bench.sampled else _SHORT_S)
        end, after = time.monotonic_ns(), os.times()
        return {
            "start_ns": start,
            "end_ns": end,
            "sampled": bench.sampled,
            "wall_s": (end - start) / 1e9,
            "cpu_s": after.user + after.system - before.user - before.system,
        }
