"""The kernel's English sentences recognised, so that a reader has them in his own language.

One table: a message key and the sentence as a pattern, whose groups the catalogue's template fills in. What is not
recognised, such as a newer harness's words or a vendor's, stays as the record has it. ``tests/reports/test_reasons.py``
has the kernel make every one of these sentences, so that a changed one is noticed.
"""

from __future__ import annotations

import re

from npubench_reports import audit_reasons, procurement_reasons
from npubench_reports.messages import Messages
from npubench_reports.said import Said, compose, verbatim

#: A number as Python writes it.
_N = r"[-+]?(?:\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?|inf)"

#: ``backend:device on workload: `` stands before what befell a worker; a page says both beside every run.
_NAMED = re.compile(r"[^\s:]+:\S[^\n]{0,120}? on \S+: ")

#: Key → sentence; ``<name>`` is a number, ``<name*>`` any words, ``<name.>`` one word. The first that fits is taken.
_SENTENCES: tuple[tuple[str, str], ...] = (
    # analyze/certified, analyze/intervals
    ("too-few-queries", "p<percentile> needs <needed> queries, the run has <has>"),
    ("nothing-completed", "nothing completed in the window"),
    ("few-completions", "no interval: needs <needed> completions in the window, there are too few"),
    ("few-repeats", "no interval: needs <needed> repeats, there is <has>"),
    ("few-values", "no interval: needs <needed> values, there are <has>"),
    ("identical-repeats", "no interval: repeats are identical"),
    ("no-interval", "no interval"),
    ("no-repeat", "no repeat has a value"),
    ("absent-in-repeats", "absent in some repeats"),
    ("no-values", "one of the two has no values"),
    ("zero-denominator", "the denominator is not above 0"),
    # analyze/energy, analyze/readings, analyze/outputs
    ("counter-stands", "the counter does not move"),
    ("counter-stalled", "the counter stood still for <seconds> s: it has stalled"),
    ("counter-reset", "the counter was reset in the window"),
    ("gauge-stalled", "the gauge stood still for <seconds> s, though it moves otherwise: it has stalled"),
    ("clock-back", "the readings' clock went back in time"),
    ("impossible-power", "a <domain.> at <watts> W cannot be right: the sensor's unit is another one than it says"),
    ("no-such-phase", "no <phase:accuracy|warm-up> phase"),
    ("several-peaks", "several sensors: their peaks are not of one moment"),
    ("no-energy-drawn", "no energy was drawn"),
    ("no-sample", "no sample was completed"),
    ("energy-uncertain", "the energy is uncertain by ±<uncertain>%, allowed is ±<allowed>%; a longer window narrows it"),
    (
        "energy-undersampled",
        "the energy is uncertain by ±<uncertain>%, allowed is ±<allowed>%; the gauge was read more seldom than it changes, "
        "which no longer window mends",
    ),
    (
        "energy-coarse",
        "the energy is uncertain by ±<uncertain>%, allowed is ±<allowed>%; the sensor's step is too coarse, "
        "which no longer window mends",
    ),
    ("empty-window", "the window is empty"),
    ("silent-sensor", "the sensor gave no value in the window"),
    ("slow-sensor", "the sensor changes every <period> ms: needs a window of <needed> s, it has <has> s"),
    ("coverage", "readings cover <has>% of the window, needs <needed>%"),
    ("no-baseline", "no idle baseline"),
    ("not-a-number", "<metric.> of these outputs is not a number"),
    # A part of a domain, by its sensor's name
    ("of-sensor", r"<sensor*>: <words:(?:the (?:counter|gauge|sensor|readings|window)|readings cover|an? \S+ at) .+>"),
    # record/conduct
    ("twice-damaged", "<first*>; the worker left a damaged account: <words*>"),
    ("damaged-account", "the worker left a damaged account: <words*>"),
    ("damaged-trace", "the worker left a damaged trace: <words*>"),
    ("nothing-sampled", "no sample completed in the window"),
    (
        "canary",
        "outputs under load differ from the accuracy phase's for the same samples: relative distance <distance>, "
        "allowed <allowed>, over <checked> checked samples",
    ),
    # measure/runner
    ("deadline", "phase <phase.> took longer than its deadline of <seconds> s; killed"),
    ("hung", "hung in phase <phase.>: no sample completed for <seconds> s; killed"),
    ("killed", "the worker was killed by <signal.> in phase <phase.>"),
    ("unheard", "the worker lost its pipe to the supervisor in phase <phase.>; a plug-in may close only what it opened"),
    ("exited", "the worker exited with code <code.> in phase <phase.> before it had finished"),
    ("not-started", "target '<target*>': python '<path*>' cannot be started: <words*>"),
    ("wrong-ready", "target '<target*>': artefacts: <path*>: <words*>"),
    ("wrong-compiled", "the compiled artefact: <path*>: <words*>"),
    # measure/worker, contract/bundle, contract/options
    ("unsupported", "unsupported: <words*>"),
    ("rate-hopeless", "no server rate meets the latency bound of <bound> ms; even a single query takes longer"),
    ("harness", "npubench, phase <phase.>: <words*>"),
    ("other-bundle", "<path*>: wrong digest <digest.>, the plan has <planned.>"),
    ("bundle-version", "<path*>: schema_version is <version*>, this npubench reads <own.>"),
    ("bundle", "<words*>; run 'npubench workloads prepare<force*>'"),
    ("options", "target '<target*>': options<words*>"),
    # measure/power_limit
    ("limit-unreadable", "power limit of <watts> W: it cannot be read: <words*>"),
    ("limit-none", "power limit of <watts> W: this device shows none"),
    ("limit-read-only", "power limit of <watts> W: this device's can be read and not set"),
    (
        "limit-unknown",
        "power limit of <watts> W: the device does not say which one it has now, and it could not be put back",
    ),
    ("limit-bounds", "power limit of <watts> W: the device takes <low> to <high> W"),
    ("limit-forbidden", "power limit of <watts> W: this user may not set it: <words*>"),
    ("limit-refused", "power limit of <watts> W: it cannot be set: <words*>"),
    ("limit-other", "power limit of <watts> W: the device has <taken> W after it was set"),
    ("limit-unread-set", "power limit of <watts> W: it cannot be read after it was set"),
    ("limit-unread-end", "power limit of <watts> W: it cannot be read at the end of the run"),
    ("limit-moved", "power limit of <watts> W: the device has <now> W at the end of the run"),
    ("limit-left", "the device's power limit could not be put back<words:(?:: .+)?>; set it to <watts> W by hand"),
    (
        "limit-left-too",
        "<first*>; the device's power limit could not be put back<words:(?:: .+)?>; set it to <watts> W by hand",
    ),
    # measure/plugin
    ("plugin-import", "backend '<backend*>' (<entry*>) cannot be imported: <words*>"),
    ("plugin-class", "backend '<backend*>' (<entry*>) is not a subclass of npubench.contract.Backend"),
    ("plugin-contract", "backend '<backend*>' is written for contract <contract.>, this npubench has <own.>"),
    ("plugin-entry", "backend '<backend*>': its entry point '<entry*>' is not written as module:Class"),
    ("plugin-options", "backend '<backend*>': its Options is no dataclass"),
    ("plugin-option-types", "backend '<backend*>': the types of its Options cannot be resolved: <words*>"),
    ("plugin-probe", "backend '<backend*>': its probe <words*>"),
    ("plugin-constructor", "backend '<backend*>': its constructor raises <words*>"),
    ("plugin-not-ready", "backend '<backend*>' is not ready (<rung.>): <words*>"),
    ("plugin-no-device", "backend '<backend*>' has no device '<device*>'<hint*>"),
    # measure/check, measure/binding, measure/dispatch
    ("output-not-finite", "output '<output*>' has <count> NaN or Inf of <of> values"),
    ("output-undeclared", "output '<output*>' is returned but not declared; declared are: <words*>"),
    ("output-none", "output '<output*>' is left out; returned are: none"),
    ("output-left-out", "output '<output*>' is left out; returned are: <words*>"),
    ("output-dtype", "output '<output*>' has dtype <has*>, declared is <declared*>"),
    ("output-shape", "output '<output*>' has shape <has*>, declared is <declared*>"),
    ("output-type", "output '<output*>' is <type.>, not a numpy array"),
    ("outputs-type", "execute returned <type.>, not a mapping of tensors by name"),
    ("tensor-count", "the executor has <has> <what:inputs|outputs> <names*>, the workload <wanted> <wishes*>"),
    ("tensor-names", "two of the executor's <what:inputs|outputs> <names*> have one name; the workload's are <wishes*>"),
    ("tensor-shape", "<what:input|output> '<tensor*>': the workload has shape <wanted*>, the executor <has*>"),
    ("done-twice", "submit called done twice for one request"),
    ("done-empty", "<class*>submit called done with neither outputs nor an error"),
    ("over-issued", "harness: <issued> samples issued, <planned> planned"),
    # analyze/validity, record/machine, measure/process
    ("no-account", "the runtime cannot tell which operators ran on the device"),
    ("an-account", "an account of the operators by the runtime"),
    ("all-on-device", "all operators on the device"),
    ("certified-tail", "a certified tail percentile"),
    ("within-supervised", "the worker's window within the supervisor's"),
    ("no-loadgen", "LoadGen left no account of the window"),
    ("slack-unknown", "timer slack is not known"),
    ("slack", "1 ns"),
    ("governor", "performance"),
    ("bare-metal", "bare metal for official figures"),
    ("uncalibrated", "this system has no calibration"),
    ("calibrate", "npubench calibrate, once a system"),
    ("nothing-left", "nothing left"),
    ("threads-left", "<count> threads"),
    ("children-left", "<count> child processes"),
    ("open-left", "open <device.>"),
    ("simulated", "SIMULATED: the device is no hardware"),
    ("hardware", "hardware"),
    ("generated-inputs", "inputs are generated from a seed"),
    ("real-samples", "real samples with labels for an accuracy claim"),
    ("unknown-hypervisor", "unknown hypervisor"),
    # analyze/power_rules
    ("no-sensor", "no energy counter, power gauge or meter was read"),
    ("a-sensor", "an energy counter, a power gauge or a meter"),
    ("possible-power", "power that such a thing can draw"),
    ("most-below-ranging", "at most 5% below the ranging run"),
    ("ranges-by-ranging", "ranges fixed by what the ranging run saw"),
    # measure/meters/ranges, analyze/ranging
    ("no-ranging-run", "no ranging run was made"),
    ("ranges-of-several", "it reads several inputs together, and each has ranges of its own"),
    ("ranges-unsaid", "its profile does not say how to see its <quantity:voltage|current> and which ranges it offers"),
    ("ranges-unseen", "it showed no <quantity:voltage|current> in the ranging run"),
    ("ranges-too-small", "none of its ranges holds the <highest> <unit.> seen in the ranging run"),
    ("range-in-host-file", "the range of <range> <unit.> that the host file fixes does not hold the <highest> <unit2.> seen"),
    ("ranges-refused", "it took none of the ranges that hold the <highest> <unit.> seen"),
    ("ranges-failed", "it failed while its ranges were being fixed: <words*>"),
    ("ranges-silence", "it gave no number after its ranges were fixed"),
    ("shows-no-quantity", "the sensor shows no <quantity:voltage|current>"),
    ("quantity-unseen", "no <quantity:voltage|current> was seen in the ranging run"),
    ("ranges-of-sensors", "several sensors, and each has ranges of its own"),
    ("no-throttling", "no throttling in the window"),
    # analyze/client
    ("device-alone", "the device for the run alone"),
    # analyze/memory, measure/memory
    ("memory-few", "needs <needed> readings of the memory, there are <has>"),
    ("memory-alike", "no interval: neighbouring readings of the memory are too alike"),
    ("memory-standing", "no sample was completed between readings of the memory"),
    ("memory-unread", "no reading of the memory in this part of the run"),
    ("memory-no-window", "the run has no measured window"),
    ("memory-damaged", "the readings of the memory are damaged"),
    ("memory-never", "the worker ended before its memory was read"),
    ("memory-untold", "the kernel does not tell how much memory of its own the worker holds"),
    # measure/profiler, measure/profiled, analyze/operators
    ("profile-none", "this backend gives no times of operators"),
    ("profile-deadline", "profiling took longer than its deadline of <seconds> s; killed"),
    ("profile-killed", "the profiling process was killed by <signal.>"),
    ("profile-exited", "the profiling process ended with code <code.>"),
    ("profile-failed", "profiling failed: <words*>"),
    ("profile-refused", "profiling: <words*>"),
    ("profile-odd", "what the plug-in gave is no profile: <words*>"),
    ("profile-missing", "there is no profile of this run"),
    ("profile-damaged", "the profile is damaged: <words*>"),
    ("profile-other-bundle", "the bundle is no longer the one that was measured: <digest.>"),
    ("profile-no-time", "no operator took any time by the runtime's clock"),
    ("profile-no-place", "the runtime does not say where each operator ran"),
    # How a gate's bound comes about: plan/workload, plan/usermodel, the manifests
    ("rule-share", "<metric.> at least <share> of what the FP32 model reaches on the CPU reference"),
    ("rule-inverse", "<metric.> at most 1/<share> of what the FP32 model reaches on the CPU reference"),
    ("rule-exact", "every value of every sample exactly the result of integer arithmetic"),
    (
        "rule-agreement",
        "top-1 agreement with the FP32 CPU reference at least <least>, "
        "over samples whose first class it holds 50 % more probable than the second",
    ),
    (
        "rule-cosine",
        "mean cosine between logits and the FP32 CPU reference's, both less the reference's mean over samples, at least <least>",
    ),
    (
        "rule-fidelity",
        "fidelity at least <least>: in every sample and output, 1 - relative L2 error to the FP32 model on the CPU reference",
    ),
    ("rule-least", r"<metric.> at least <least><unit: \S+|>"),
    ("rule-most", r"<metric.> at most <most><unit: \S+|>"),
)

#: What a plug-in raised; only behind the name of the run, where nothing but a plug-in speaks.
_PLUGIN: tuple[tuple[str, str], ...] = (
    ("call", "<call:compile|supports|load|offload|close>: <words*>"),
    ("raised", "<words*>"),
)

#: Groups that may be empty.
_OPTIONAL = frozenset({"hint", "force", "class"})


def _pattern(sentence: str) -> re.Pattern[str]:
    """Compile a sentence of the table."""
    compiled = ""
    for literal, name, words in re.findall(r"([^<]*)(?:<(\w+)([^>]*)>)?", sentence):
        compiled += re.escape(literal)
        if name:
            kind = {"": _N, ".": r"\S+?", "*": ".*?" if name in _OPTIONAL else ".+?"}.get(words, words.removeprefix(":"))
            compiled += f"(?P<{name}>{kind})"
    return re.compile(compiled, re.DOTALL)


TABLE: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (key, _pattern(sentence)) for key, sentence in (*_SENTENCES, *audit_reasons.SENTENCES, *procurement_reasons.SENTENCES)
)
PLUGIN: tuple[tuple[str, re.Pattern[str]], ...] = tuple((key, _pattern(sentence)) for key, sentence in _PLUGIN)


def say(text: str, messages: Messages, *, brief: bool = False) -> Said:
    """Return a record's sentence in the reader's language, or as it stands where it is not one of the kernel's.

    Args:
        text: As the record has it.
        messages: The language.
        brief: Leave out what differs from run to run, where there is a text for that.
    """
    named = _NAMED.match(text)
    rest = text[named.end() :] if named else text
    for key, pattern in (*TABLE, *(PLUGIN if named else ())):
        found = pattern.fullmatch(rest)
        if found is not None:
            whole = f"reason.{key}"
            short = f"{whole}.brief"
            chosen = short if brief and messages.has(short) else whole
            return compose(messages, chosen, found.groupdict(""), lambda nested: say(nested, messages))
    return verbatim(text)
