"""Dishonest plug-ins on the simulated device: what the audits are held against. Nobody measures anything with them.

Each is a small backend that takes one short cut, with the audit that must catch it by name. ``npubench calibrate --audits``
runs them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_HERE = "npubench.testing.cheats"


@dataclass(frozen=True, slots=True)
class Cheat:
    """A dishonest plug-in and how it is run.

    Args:
        name: As the table has it.
        entry: The plug-in's class as ``module:Class``.
        audit: The audit that must fail, by name.
        what: What it does, one sentence.
        batch: The load's; above 1 it is run offline.
        options: Of the simulated device, beside the law that all cheats have.
    """

    name: str
    entry: str
    audit: str
    what: str
    batch: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)


#: What an honest run of the same models is done by.
HONEST = f"{_HERE}.base:AnyModel"

CHEATS: tuple[Cheat, ...] = (
    Cheat(
        "answers early, computes later",
        f"{_HERE}.answers:LateAnswers",
        "same-outputs",
        "Returns empty arrays at once and fills them afterwards.",
    ),
    Cheat(
        "skips work in the timed phase",
        f"{_HERE}.answers:StaleAnswers",
        "same-outputs",
        "Gives every other timed request the outputs of the one before.",
    ),
    Cheat(
        "detects the accuracy phase",
        f"{_HERE}.answers:AccuracyOnly",
        "same-outputs",
        "Answers as many samples as the accuracy phase has, and with zeros from then on.",
    ),
    Cheat(
        "skips layers when timed",
        f"{_HERE}.network:SkipsLayersTimed",
        "same-outputs",
        "Runs the whole network in the accuracy phase and leaves its activations out afterwards.",
    ),
    Cheat(
        "keeps its last answer",
        f"{_HERE}.memory:LastAnswer",
        "repeated-sample",
        "Compares each input with the one before and answers again where it is the same.",
    ),
    Cheat(
        "knows the sequence",
        f"{_HERE}.memory:KnownSequence",
        "other-seeds",
        "Recognises the measured sequence of samples and is fast at it alone.",
    ),
    Cheat(
        "answers from a cache",
        f"{_HERE}.memory:AnswerCache",
        "fresh-inputs",
        "Remembers the answer to every input it has seen.",
    ),
    Cheat(
        "precomputed the bundle, slow elsewhere",
        f"{_HERE}.memory:BundleTable",
        "fresh-inputs",
        "Has a table of the bundle's samples and computes only what is not in it.",
    ),
    Cheat(
        "precomputed the bundle, wrong elsewhere",
        f"{_HERE}.memory:NearestSample",
        "fresh-inputs",
        "Answers every input as the sample of the bundle that is nearest to it.",
    ),
    Cheat(
        "caps the batch",
        f"{_HERE}.device:CapsBatch",
        "batch-work",
        "Computes the first half of a batch and repeats its last row for the rest.",
        batch=8,
    ),
    Cheat(
        "shares the work of a batch",
        f"{_HERE}.device:HurriesBatch",
        "batch-work",
        "Has a batch's answers in less time than one sample's, out of a table.",
        batch=8,
    ),
    Cheat(
        "runs a network of its own",
        f"{_HERE}.network:OwnNetwork",
        "perturbed-weights",
        "Runs the network it was made for, whatever it is handed.",
    ),
    Cheat(
        "takes only the one model",
        f"{_HERE}.network:OneModel",
        "perturbed-weights",
        "Refuses to compile any other model than the measured one.",
    ),
    Cheat(
        "skips layers",
        f"{_HERE}.network:SkipsLayers",
        "declared-precision",
        "Leaves the activations out of the network.",
    ),
    Cheat(
        "runs a smaller net",
        f"{_HERE}.network:LowRank",
        "declared-precision",
        "Replaces every weight matrix by one of lower rank.",
    ),
    Cheat(
        "lowers precision unsaid, float16",
        f"{_HERE}.network:Float16",
        "declared-precision",
        "Rounds weights and inputs to float16 in a run of FP32.",
    ),
    Cheat(
        "lowers precision unsaid, bfloat16",
        f"{_HERE}.network:BFloat16",
        "declared-precision",
        "Rounds weights and inputs to bfloat16 in a run of FP32.",
    ),
    Cheat(
        "patches Python's clock",
        f"{_HERE}.process:BendsClock",
        "own-process",
        "Has time.monotonic_ns run at half its pace.",
    ),
    Cheat(
        "patches the harness's clock",
        f"{_HERE}.process:BendsHarness",
        "own-process",
        "Has the function that stamps the columns run at half its pace.",
    ),
    Cheat(
        "patches LoadGen",
        f"{_HERE}.process:BendsLoadGen",
        "own-process",
        "Puts a function of its own in the place of LoadGen's QuerySamplesComplete.",
    ),
    Cheat(
        "opens labels and reference answers",
        f"{_HERE}.process:ReadsAnswers",
        "own-process",
        "Reads labels.npz and reference.npz from the bundle's folder.",
    ),
    Cheat(
        "works on after close",
        f"{_HERE}.process:WorksOn",
        "own-process",
        "Leaves a thread that goes on computing once the executor is closed.",
    ),
    Cheat(
        "falls back to the CPU",
        f"{_HERE}.device:HostFallback",
        "host-work",
        "Computes on the host's cores while the device it claims idles.",
        options={"idle_mw": 10_000, "active_mw": 10_000},
    ),
    Cheat(
        "high power in the baseline",
        f"{_HERE}.device:HotIdle",
        "idle-baseline",
        "Keeps the device at full power until it is closed, so that subtracting the baseline leaves little.",
    ),
)
