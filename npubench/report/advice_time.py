"""Where time goes: what traces, findings and the client's health say of latency that is not the device's work."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from npubench.analyze.estimate import Estimate
from npubench.contract.runspec import Scenario
from npubench.report.advice import Confidence, Gain, Symptom, faster, proof, why
from npubench.report.document import Phrase, Reason
from npubench.report.feedback_cases import Case

#: So much of the latency outside the executor is worth a word; 10 % makes a run invalid (``analyze.client``).
HARNESS = 0.05
#: A process that keeps so much of a core busy while a device works is either working itself or polling.
HOST_CORES = 0.80
#: Waiting before the executor, as a part of latency, from which on it is what latency is made of.
QUEUED = 0.50
#: p99 ÷ p50 and p90 ÷ p50 from which on a tail is heavy. One mode of ±15 % gives 1.4 and 1.2.
TAIL_99, TAIL_90 = 2.0, 1.3
#: How far a mode's part of the queries may go down before it is an outlier and no mode.
FEWEST_OF_MODE = 0.02
#: Findings that say the host was disturbed; what is seen then may be the host's.
DISTURBED = ("run-queue", "foreign-load", "stolen-time", "page-faults", "device-shared", "clock-disagrees")


def time_symptoms(case: Case) -> Iterator[Symptom]:
    """Yield what is wrong with a case's time."""
    if not case.measured:
        return
    for rule in (_harness, _host, _queued, _tail, _modes, _throttled, _unsteady):
        yield from rule(case)


def disturbed(case: Case) -> bool:
    """Return whether something else on the host is in the figures."""
    return any(case.finding(rule) is not None for rule in DISTURBED)


def _sure(case: Case, sure: Confidence, key: str) -> tuple[Confidence, Phrase]:
    """Return the confidence, or a hint where the host was disturbed."""
    return why("hint", "disturbed") if disturbed(case) else why(sure, key)


def _harness(case: Case) -> Iterator[Symptom]:
    """Time outside the executor: between two calls, in the harness and in the plug-in's own Python."""
    shares = [(record, record.client.harness_share) for record in case.records if record.client is not None]
    known = [(share, record) for record, share in shares if share is not None]
    if not known or (least := min(share for share, _ in known)) <= HARNESS:
        return
    confidence, reason = _sure(case, "strong", "trace")
    proofs = [proof("harness-share", Estimate(share, "share", n=1), (record.run_id,)) for share, record in known]
    gain = Gain(faster(1.0, 1.0 - least), "headline", Phrase("advice.how.share", {"share": least}))
    yield Symptom("between-calls", case, confidence, reason, tuple(proofs), gain)


def _host(case: Case) -> Iterator[Symptom]:
    """A core kept busy by a run whose device is not the CPU: work on the host, or a driver that polls."""
    if _on_cpu(case):
        return
    known = [(r.client.cpu_share, r) for r in case.records if r.client is not None and r.client.cpu_share is not None]
    if not known or min(share for share, _ in known) < HOST_CORES:
        return
    cores, record = min(known, key=lambda each: each[0])
    operators = record.artefact.host_operators if record.artefact is not None else None
    confidence, reason = why("likely", "host-operators") if operators else why("hint", "polling")
    proofs = (proof("cpu-cores", Phrase("feedback.cores", {"cores": cores}), (record.run_id,)),)
    yield Symptom("host-bound", case, confidence, reason, proofs, no_gain=Phrase("advice.gain.no-profile"))


def _on_cpu(case: Case) -> bool:
    """Return whether the device is the host's processor: then a busy core is the device at work."""
    device = case.record.system.device
    words = f"{device.get('kind', '')} {device.get('name', '')} {case.record.spec.target.device}".casefold()
    return "cpu" in words or device.get("kind", "").casefold() == case.record.system.cpu.casefold()


def _queued(case: Case) -> Iterator[Symptom]:
    """In the server scenario, waiting for the executor; a rate near what the device can do always makes a queue."""
    if case.scenario is not Scenario.SERVER or not case.traces:
        return
    trace = case.traces[0]
    latency = trace.done_ns - trace.scheduled_ns
    waiting = trace.started_ns - trace.scheduled_ns
    if not len(latency) or float(latency.sum()) <= 0:
        return
    share = float(waiting.sum()) / float(latency.sum())
    if share < QUEUED:
        return
    run = (case.records[0].run_id,)
    tail = case.record.spec.load.percentile
    whole, service = float(np.quantile(latency, tail)), float(np.quantile(trace.done_ns - trace.started_ns, tail))
    confidence, reason = _sure(case, "strong", "trace")
    proofs = (
        proof("queue-share", Estimate(share, "share", n=trace.samples), run),
        proof("service-tail", Estimate(service, "ns", n=trace.samples), run),
        proof("latency-tail", Estimate(whole, "ns", n=trace.samples), run),
        proof("load-settings", Phrase("feedback.load", {"batch": case.batch, "flight": case.in_flight}), run),
    )
    yield Symptom("queue-bound", case, confidence, reason, proofs, no_gain=Phrase("advice.gain.queue"))


def _tail(case: Case) -> Iterator[Symptom]:
    middle = case.metric("latency_p50")
    if not middle or case.scenario is Scenario.SERVER:
        # A server's latencies follow the arrivals: their tail is the queue's.
        return
    p90, p99 = _least(case, "latency_p90"), _least(case, "latency_p99")
    if not ((p99 is not None and p99 > TAIL_99 * middle) or (p90 is not None and p90 > TAIL_90 * middle)):
        return
    record = case.record
    proofs = [
        proof(f"latency-{name}", record.metrics[f"latency_{name}"], (record.run_id,))
        for name in ("p50", "p90", "p99")
        if f"latency_{name}" in record.metrics
    ]
    if record.stability is not None and record.stability.outlier_share is not None:
        proofs.append(proof("outliers", Estimate(record.stability.outlier_share, "share"), (record.run_id,)))
    judged = case.metric(case.rule.metric)
    gain = None
    if judged is not None:
        # What is left where the tail is no longer than an ordinary one.
        ordinary = middle * (TAIL_90 if case.rule.metric == "latency_p90" else TAIL_99)
        after = min(judged, ordinary)
        gain = Gain(faster(judged, after), "headline", Phrase("advice.how.tail", {"times": ordinary / middle}))
    confidence, reason = _sure(case, "likely", "percentiles")
    yield Symptom("tail-heavy", case, confidence, reason, tuple(proofs), gain if gain and gain.size > 0 else None)


def _least(case: Case, name: str) -> float | None:
    """Return the lower end of a percentile in its best repeat: a tail that is only uncertain is none."""
    known = [record.metrics[name] for record in case.records if name in record.metrics]
    ends = [each.low if each.low is not None else each.value for each in known]
    return min((end for end in ends if end is not None), default=None)


def _modes(case: Case) -> Iterator[Symptom]:
    stability = case.record.stability
    if stability is None or stability.modes is None or stability.modes < 2:
        return
    run = (case.record.run_id,)
    proofs = [proof("modes", stability.modes, run)]
    gain = None
    trace = next((t for t, r in zip(case.traces, case.records, strict=False) if r is case.record), None)
    if trace is not None and len(case.traces) == len(case.records):
        split = _two_modes(np.asarray(trace.query_latencies_ns(), dtype=np.float64))
        if split is not None:
            fast, slow, part = split
            proofs += [
                proof("fast-mode", Estimate(fast, "ns"), run),
                proof("slow-mode", Estimate(slow, "ns"), run),
                proof("slow-part", Estimate(part, "share"), run),
            ]
            mean = fast * (1 - part) + slow * part
            gain = Gain(faster(mean, fast), "headline", Phrase("advice.how.modes"))
    confidence, reason = _sure(case, "likely", "modes")
    yield Symptom("bimodal", case, confidence, reason, tuple(proofs), gain)


def _two_modes(latencies: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float, float] | None:
    """Return the medians of two modes and the slow one's part, cut where the two sides' squares are least (Otsu 1979).

    On logarithms; ``None`` where a side has fewer than :data:`FEWEST_OF_MODE` of the queries.
    """
    values = np.sort(np.log(latencies[latencies > 0]))
    n = values.size
    if n < 100:
        return None
    first, last = max(1, int(n * FEWEST_OF_MODE)), n - max(1, int(n * FEWEST_OF_MODE))
    cuts = np.arange(first, last)
    if not cuts.size:
        return None
    sums = np.cumsum(values)
    low, high = sums[cuts - 1] / cuts, (sums[-1] - sums[cuts - 1]) / (n - cuts)
    cut = int(cuts[int(np.argmax(cuts * (n - cuts) * (high - low) ** 2))])
    return float(np.exp(np.median(values[:cut]))), float(np.exp(np.median(values[cut:]))), (n - cut) / n


def _throttled(case: Case) -> Iterator[Symptom]:
    found = case.finding("throttled")
    if found is None:
        return
    record, evidence = found
    run = (record.run_id,)
    observed = next(f.observed for f in record.findings if f.rule == "throttled")
    slower = evidence.get("slower")
    proofs = [proof("throttle", Reason(observed), run)]
    gain = None
    if isinstance(slower, int | float) and not isinstance(slower, bool) and slower > 0:
        gain = Gain(min(float(slower), 9.0), "headline", Phrase("advice.how.throttled"))
        proofs.append(proof("slower", Estimate(float(slower), "share"), run))
    flagged = "share" in evidence
    sure: tuple[Confidence, Phrase] = (
        why("strong", "flag") if flagged else why("likely", "clock") if evidence.get("unit") == "MHz" else why("hint", "warmth")
    )
    yield Symptom("throttled", case, *sure, tuple(proofs), gain)


def _unsteady(case: Case) -> Iterator[Symptom]:
    """Changes of level in the window that no throttle explains: what would be gained by holding the best level."""
    record = case.record
    stability = record.stability
    if stability is None or not stability.change_points or case.finding("throttled") is not None:
        return
    span = sum(each.end_ns - each.start_ns for each in record.phases if each.phase == "measure") / 1e9
    if span <= stability.change_points[-1] or any(change <= -1 for change in stability.changes):
        return
    edges = [0.0, *stability.change_points, span]
    heights = [1.0]
    for change in stability.changes:
        heights.append(heights[-1] * (1 + change))
    parts = [(end - start) / span for start, end in itertools.pairwise(edges)]
    mean = sum(height * part for height, part in zip(heights, parts, strict=True))
    # Levels are rates offline and latencies elsewhere.
    size = max(heights) / mean - 1 if case.scenario is Scenario.OFFLINE else mean / min(heights) - 1
    largest = max(stability.changes, key=abs)
    proofs = (
        proof("level-changes", len(stability.changes), (record.run_id,)),
        proof("largest-change", Phrase("feedback.change", {"change": largest}), (record.run_id,)),
    )
    confidence, reason = _sure(case, "likely", "levels")
    yield Symptom("unsteady", case, confidence, reason, proofs, Gain(min(size, 9.0), "headline", Phrase("advice.how.levels")))
