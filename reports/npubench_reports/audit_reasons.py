"""The sentences that audits put into records, as ``reasons`` recognises sentences: a message key and a pattern.

``tests/analyze/test_audits.py`` has the kernel make them.
"""

from __future__ import annotations

#: The parts of what ``own-process`` saw, of which there may be several.
_PART = r"(?:replaced: |opened: |the clock is |the window lies |\S+ cores at work after close)"

SENTENCES: tuple[tuple[str, str], ...] = (
    # same_outputs
    ("audit-distance", "relative distance <distance> over <checked> timed samples"),
    ("audit-unsettled", "<count> of the checked requests had outputs that changed after they were handed over"),
    ("audit-same", "within <allowed> of the accuracy phase's outputs, and settled when handed over"),
    ("audit-unreached", "none of the chosen samples was reached in the window"),
    ("unsettled", "outputs of <count> checked requests changed after they had been handed over"),
    # in_turn
    ("audit-repeated", "one sample repeated: <faster>% against unique ones (<low>% to <high>%, <pairs> pairs of windows)"),
    ("audit-seeds", "the measured seeds: <faster>% against other seeds (<low>% to <high>%, <pairs> pairs of windows)"),
    ("audit-blind", "cannot tell, the machine is too busy: <seen*>"),
    ("audit-faster", "at most <allowed>% faster"),
    ("audit-few-samples", "the workload has <samples> samples, fewer than two queries need"),
    ("audit-no-pairs", "<pairs> pairs of windows make no interval"),
    # batch_work
    ("audit-wrong-rows", "a batch of <batch> has rows that are not their samples' outputs: relative distance <distance>"),
    ("audit-batch-peak", "a batch of <batch> takes less time than the declared peak of <device*> allows"),
    ("audit-rows-only", "every row right up to a batch of <batch>"),
    ("audit-rows", "every row right up to a batch of <batch>; a batch of <least> took <times> times one sample's time"),
    ("audit-batches", "every row right, and no batch below <allowed> of the time of one sample"),
    # fresh_inputs
    (
        "audit-fresh",
        "<distance> from the reference (<known> on known samples) and following <followed>% of its changes, "
        "in <times> times the time of known samples",
    ),
    ("audit-fresh-still", "<distance> from the reference (<known> on known samples), in <times> times the time of known samples"),
    (
        "audit-fresh-inputs",
        "within <allowed> of the reference, following its changes, and no more than <slower>% slower than known samples",
    ),
    ("audit-no-answer", "the CPU reference cannot answer: <words*>"),
    # perturbed_weights, record/challenge
    ("audit-gone", "went <gone>% of the way to the changed model's outputs ('<tensor*>' permuted)"),
    ("audit-refuses", "takes only the one model: <step.> refuses it with '<tensor*>' changed: <words*>"),
    ("audit-one-model", "takes only the one model: <why*>"),
    ("audit-left-nothing", "the worker left nothing of it"),
    ("audit-nearer", "outputs nearer to the changed model's than to the original's"),
    ("audit-ready-artefact", "a ready artefact was handed in, and nothing is compiled here"),
    ("audit-large-model", "the model has <size> MiB, more than <most>"),
    ("audit-no-perturbing", "the model cannot be perturbed: <words*>"),
    ("audit-no-tensor", "no weight tensor was found whose permutation changes the outputs enough"),
    ("audit-not-handed", "no perturbed model was handed over"),
    # declared_precision
    ("audit-precision", "<distance> from the reference; weights and inputs in <lower.> make <rounded>"),
    ("audit-precise", "at most <allowed> from the reference, as <declared.> computes it"),
    ("audit-as-declared", "outputs as near to the reference as <declared.> computes them"),
    ("audit-no-bound", "no bound is known for <declared.>; the accuracy gate decides"),
    (
        "audit-exact",
        "rounding weights and inputs to <lower.> moves this model's outputs by <rounded>, no more than FP32's own rounding",
    ),
    ("audit-unrounded", "the reference was not rounded to <lower.>"),
    # roofline, record/declared
    ("audit-fraction", "<fraction>% of the declared peak of <device*>"),
    ("audit-peak", "at most 100% of the declared peak"),
    ("audit-no-peak", "no peak is declared"),
    ("audit-no-throughput", "no throughput"),
    ("audit-uncounted", "the workload's operations are not counted"),
    ("audit-no-hardware", "the device is no hardware"),
    ("audit-unknown-device", "the hardware catalogue has no device '<device*>'"),
    ("audit-vendor-precision", "the precision that the vendor's compiler chose is not known"),
    ("audit-no-peak-of", "no peak of <precision.> is declared for <device*>"),
    ("audit-no-device", "the worker named no device"),
    # own_process
    ("audit-several", f"<first:{_PART}[^;]*>; <rest:{_PART}.*>"),
    ("audit-replaced", "replaced: <names*>"),
    ("audit-opened", "opened: <names*>"),
    ("audit-clock", "the clock is <off> µs off the kernel's"),
    ("audit-window", "the window lies <outside> ms outside of the kernel's account"),
    ("audit-after-close", "<cores> cores at work after close"),
    ("audit-untouched", "<count> names as they were, nothing opened"),
    ("audit-own", "functions, clock and files of the harness left alone, and nothing at work after close"),
    # host_work
    ("audit-host", "the device is the host's own processor"),
    ("audit-no-cpu", "no account of the process's CPU time"),
    ("audit-cores", "<cores> cores at work while requests were in flight"),
    ("audit-cannot-tell", "cannot tell: <cores> cores were at work, and no power sensor of the device shows whether it was"),
    ("audit-in-its-place", "<cores> cores at work, the device at <watts> W, <idle> W when idle (<sensor*>)"),
    ("audit-device-works", "below <cores> cores while requests are in flight, or a device that draws more than when idle"),
    # idle_baseline
    ("audit-no-sensor", "no sensor or meter was read"),
    ("audit-no-both", "no sensor shows both"),
    ("audit-idle", "<idle> W in the baseline, <rest> W at rest (<sensor*>)"),
    ("audit-baseline", "a baseline at most <allowed>% above the rest after close"),
    ("audit-no-idle", "the idle baseline was no idle: <idle> W, <rest> W at rest"),
)
