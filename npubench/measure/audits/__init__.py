"""Carry out audits: a small class each, which only observes. What they observe is judged by ``npubench.analyze.audits``.

A probe goes into one of the two tuples below; the worker carries them out in order and writes ``audits.json`` and
``audits.npz``.
"""

from __future__ import annotations

from collections.abc import Sequence

from npubench.measure.audits.batch_work import BatchWork
from npubench.measure.audits.bench import Bench, NotCarriedOut, Probe
from npubench.measure.audits.fresh_inputs import FreshInputs
from npubench.measure.audits.guard import Guard
from npubench.measure.audits.other_seeds import OtherSeeds
from npubench.measure.audits.own_process import OwnProcess
from npubench.measure.audits.perturbed_weights import PerturbedWeights
from npubench.measure.audits.repeated_sample import RepeatedSample
from npubench.measure.audits.rest import ClosedProbe, Rest

__all__ = ["PROBES_CLOSED", "PROBES_LIVE", "Bench", "ClosedProbe", "Guard", "NotCarriedOut", "Probe"]

#: With the executor that was measured, in the phase ``audit``. The look at the process comes last: it covers the others.
PROBES_LIVE: Sequence[Probe] = (RepeatedSample(), OtherSeeds(), BatchWork(), FreshInputs(), OwnProcess())

#: After the executor was closed, each in a phase of its own. The rest comes first, before a model is loaded again.
PROBES_CLOSED: Sequence[ClosedProbe] = (Rest(), PerturbedWeights())
