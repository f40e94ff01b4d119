"""What work is done and where: fallback, batches, transfers, precision, compiling and starting, power while idle."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from npubench.analyze.estimate import Estimate
from npubench.contract.bundle import BundleError, read_bundle
from npubench.record.schema import Record
from npubench.report.advice import Gain, Proof, Symptom, faster, proof, why
from npubench.report.document import Phrase, Reason, Text
from npubench.report.feedback_cases import Case, seconds_of
from npubench.report.feedback_curves import Curve
from npubench.report.feedback_operators import Profiled

#: Compiling takes long from here on, s; and a device takes long to start.
SLOW_COMPILE_S = 60.0
SLOW_START_S = 10.0
#: A larger batch or more requests at once that gives so much more is worth a word.
UNDER = 0.05
#: A smaller number format that gives less than this is of no use: the arithmetic is not what takes the time.
NO_FASTER = 1.10
#: Data over the link may take this part of the time of a call.
TRANSFER = 0.20
#: The part of the window's energy that is drawn doing nothing as well.
IDLE = 0.50
#: Operators on the host that are named, the longest first.
MOST_NAMED = 5
#: What idle power is taken down to for the estimate of what that gains: a half.
IDLE_KEPT = 0.5
#: Payload of a PCIe lane, bytes/s by transfer rate GT/s: line code 8b/10b up to 5, 128b/130b above (PCI Express Base).
LANE = {2.5: 0.25e9, 5.0: 0.5e9, 8.0: 0.985e9, 16.0: 1.969e9, 32.0: 3.938e9, 64.0: 7.877e9}

#: A word in a plug-in's notes that tells of the host's part of the work.
_HOSTLY = re.compile("host|cpu|fall|unsupported", re.IGNORECASE)


def work_symptoms(
    case: Case, others: Sequence[Record], siblings: Mapping[str, Case], profiled: Profiled | None = None
) -> Iterator[Symptom]:
    """Yield what is wrong with the work of a case.

    Args:
        case: The case.
        others: Records of other targets of the same workload, precision and system.
        siblings: The same target, workload, scenario and load in other precisions.
        profiled: The profile of its operators, where there is one.
    """
    yield from _blocked(case)
    yield from _accuracy(case)
    yield from _fallback(case, profiled)
    yield from _compile(case, others)
    yield from _start(case, others)
    if case.measured:
        yield from _transfer(case)
        yield from _precision(case, siblings)
        yield from _idle(case)


def _blocked(case: Case) -> Iterator[Symptom]:
    """A run without figures, or with a finding that makes it invalid and has no advice of its own: that case counts nowhere."""
    record = case.record
    if record.status == "ok" or (record.status == "invalid" and _has_its_own(record)):
        return
    run = (record.run_id,)
    proofs = [proof("status", Phrase(f"status.{record.status}"), run), proof("reason", Reason(record.reason or ""), run)]
    confidence, reason = why("strong", "status") if record.status != "invalid" else why("likely", "rules")
    yield Symptom("blocked", case, confidence, reason, tuple(proofs), no_gain=Phrase("advice.gain.counts"))


def _has_its_own(record: Record) -> bool:
    """Return whether gate and audits alone make a run invalid: advice on them says more than that it does not count."""
    grave = {finding.rule for finding in record.findings if finding.severity == "invalid"}
    return bool(grave) and grave <= {"accuracy-gate", "audit"}


def _accuracy(case: Case) -> Iterator[Symptom]:
    found = case.finding("accuracy-gate")
    if found is None:
        return
    record, _ = found
    run = (record.run_id,)
    unit = record.bundle.metric_unit
    proofs = [
        *([proof("accuracy", record.metrics["accuracy"], run)] if "accuracy" in record.metrics else []),
        proof("required", Estimate(record.bundle.required, unit), run),
        proof("reference-accuracy", Estimate(record.bundle.reference, unit), run),
    ]
    yield Symptom("accuracy", case, *why("strong", "gate"), tuple(proofs), no_gain=Phrase("advice.gain.counts"))


def _fallback(case: Case, profiled: Profiled | None) -> Iterator[Symptom]:
    """Operators on the host, by the runtime's own account. What they cost a profile tells; else CPU time bounds it."""
    timed = _timed_on_host(profiled)
    for record in case.records:
        artefact = record.artefact
        if artefact is None or not (artefact.host_operators or timed):
            continue
        run = (record.run_id,)
        proofs = []
        if artefact.host_operators:
            whole = artefact.host_operators + (artefact.device_operators or 0)
            proofs.append(proof("host-operators", Phrase("feedback.of", {"count": artefact.host_operators, "all": whole}), run))
            proofs.append(proof("account", Text(artefact.offload_source or ""), run))
        proofs += [
            proof("note", Text(f"{key}: {text}"), run) for key, text in sorted(artefact.notes.items()) if _HOSTLY.search(key)
        ]
        if timed is not None and profiled is not None:
            yield _timed_fallback(case, profiled, timed, proofs)
            return
        gain = None
        client = record.client
        if case.measured and client is not None and client.cpu_share is not None:
            most = min(0.9, max(0.0, client.cpu_share - (client.harness_share or 0.0)))
            proofs.append(proof("cpu-cores", Phrase("feedback.cores", {"cores": client.cpu_share}), run))
            if most > 0:
                gain = Gain(faster(1.0, 1.0 - most), "headline", Phrase("advice.how.fallback", {"share": most}))
        # That they fell back is certain; what they cost is only bounded.
        confidence, reason = why("likely", "account")
        yield Symptom("fallback", case, confidence, reason, tuple(proofs), gain, Phrase("advice.gain.no-profile"))
        return


def _timed_on_host(profiled: Profiled | None) -> float | None:
    """Return the host's part of the operators' time, 0…1; ``None`` where no profile says it, or nothing ran there."""
    return (profiled.operators.host_share.value or None) if profiled is not None else None


def _timed_fallback(case: Case, profiled: Profiled, share: float, proofs: Sequence[Proof]) -> Symptom:
    """Return what operators on the host cost by the profile: their own time, to which transfers come that it does not show."""
    run, found = (profiled.run_id,), profiled.operators
    on_host = [each for each in found.shares if each.where == "host"]
    told = [
        proof("host-time", found.host_share, run),
        *(
            proof(
                "host-operator",
                Estimate(each.ns, "ns"),
                run,
                Phrase("feedback.operators.called", {"name": each.name, "kind": each.kind}),
            )
            for each in on_host[:MOST_NAMED]
        ),
    ]
    # The part of the profile's own time; the factor to the measured time is the same for what is taken away and what stays.
    gain = Gain(faster(1.0, 1.0 - min(share, 0.9)), "headline", Phrase("advice.how.fallback-timed", {"share": round(share, 3)}))
    return Symptom("fallback", case, *why("strong", "profile"), (*proofs, *told), gain if case.measured else None)


def curve_symptoms(curve: Curve) -> Iterator[Symptom]:
    """Yield that a case would give more with a batch, or requests at once, that was measured as well."""
    knee = curve.knee
    if knee is None:
        return
    start = curve.points[0]
    best = curve.points[knee]
    if best.rate.value is None or start.rate.value is None or best is start:
        return
    size = best.rate.value / start.rate.value - 1
    if size < UNDER:
        return
    clear = start.rate.high is not None and best.rate.low is not None and best.rate.low > start.rate.high
    confidence, reason = why("strong", "curve") if clear else why("likely", "curve-overlaps")
    proofs = tuple(
        proof(f"rate-{curve.kind}", point.rate, point.case.runs, Phrase(f"feedback.at-{curve.kind}", {"size": point.size}))
        for point in curve.points
    )
    how = Phrase("advice.how.curve", {"at": start.size, "size": best.size})
    kind = "under-batched" if curve.kind == "batch" else "under-filled"
    yield Symptom(kind, start.case, confidence, reason, proofs, Gain(min(size, 9.0), "headline", how))


def _transfer(case: Case) -> Iterator[Symptom]:
    """Bytes of inputs and outputs over the link the device hangs on, against the time of a call."""
    record = case.record
    facts = {**record.system.stable, **record.system.volatile}
    link, size = _link(facts), _sample_bytes(record)
    rate = case.metric("throughput")
    if link is None or size is None or not rate:
        return
    share = size * rate / link
    if share < TRANSFER:
        return
    run = (record.run_id,)
    proofs = (
        proof("sample-bytes", Estimate(float(size), "B"), run),
        proof("link", Estimate(link, "B/s"), run, Phrase("advice.remark.link")),
        proof("transfer-share", Estimate(share, "share"), run),
    )
    gain = Gain(faster(1.0, max(0.1, 1.0 - share)), "headline", Phrase("advice.how.transfer", {"share": min(share, 1.0)}))
    yield Symptom("transfer-bound", case, *why("hint", "link"), proofs, gain)


def _link(facts: Mapping[str, str]) -> float | None:
    """Return the payload of the device's link in one direction, bytes/s; its best speed, as a link at rest slows down."""
    width = re.fullmatch(r"x(\d{1,2})", facts.get("pcie-width", ""))
    speed = re.match(r"[\d.]+", facts.get("pcie-speed-max", "") or facts.get("pcie-speed", ""))
    if width is None or speed is None or not re.fullmatch(r"\d+(\.\d+)?", speed[0]):
        return None
    lane = LANE.get(float(speed[0]))
    return None if lane is None or not int(width[1]) else lane * int(width[1])


def _sample_bytes(record: Record) -> int | None:
    """Return the larger of a sample's input and output, bytes, from the bundle where it is still there: a link is duplex."""
    try:
        bundle = read_bundle(Path(record.spec.bundle))
    except (BundleError, OSError, ValueError):
        return None
    if bundle.digest != record.spec.bundle_digest:
        return None
    sizes = []
    for tensors in (bundle.inputs, bundle.outputs):
        total = 0
        for tensor in tensors:
            known = [axis for axis in tensor.shape[1:] if axis is not None]
            total += int(np.prod(known, dtype=np.int64)) * np.dtype(tensor.dtype).itemsize
        sizes.append(total)
    return max(sizes) or None


def _precision(case: Case, siblings: Mapping[str, Case]) -> Iterator[Symptom]:
    """INT8 that is hardly faster than a wider format: its arithmetic is not what takes the time, or it runs as the wider one."""
    if case.key[2] != "int8":
        return
    wide = next((siblings[name] for name in ("fp16", "bf16", "fp32") if name in siblings and siblings[name].measured), None)
    if wide is None or case.headline is None or wide.headline is None:
        return
    # The median tells the arithmetic; a tail is something else's.
    named = "latency_p50" in case.record.metrics and "latency_p50" in wide.record.metrics
    own = case.record.metrics["latency_p50"] if named else case.headline
    other = wide.record.metrics["latency_p50"] if named else wide.headline
    if not own.value or not other.value:
        return
    ratio = own.value / other.value if case.rule.higher_is_better and not named else other.value / own.value
    if ratio >= NO_FASTER:
        return
    proofs = (
        proof("headline-int8", own, case.runs),
        proof("headline-wide", other, wide.runs, Phrase("feedback.in", {"precision": wide.key[2]})),
        proof("speed-up", Estimate(ratio, "times"), (*case.runs, *wide.runs)),
    )
    confidence, reason = why("hint", "disturbed") if _shaky(case, wide) else why("likely", "precision")
    gain = Gain(faster(1.0, ratio), "headline", Phrase("advice.how.precision")) if ratio < 1 else None
    yield Symptom("int8-no-faster", case, confidence, reason, proofs, gain)


def _shaky(*cases: Case) -> bool:
    rules = ("run-queue", "foreign-load", "stolen-time")
    return any(case.finding(rule) is not None for case in cases for rule in rules)


def _compile(case: Case, others: Sequence[Record]) -> Iterator[Symptom]:
    fresh = [record for record in case.records if _compiled(record)]
    yield from _slow("slow-compile", "compile", SLOW_COMPILE_S, case, fresh, others, _compiled)


def _compiled(record: Record) -> bool:
    return record.artefact is not None and not record.artefact.cached and not record.artefact.ready


def _start(case: Case, others: Sequence[Record]) -> Iterator[Symptom]:
    yield from _slow("slow-start", "load-executor", SLOW_START_S, case, case.records, others, lambda r: True)


def _slow(
    kind: str,
    phase: str,
    limit: float,
    case: Case,
    mine: Sequence[Record],
    others: Sequence[Record],
    counts: Callable[[Record], bool],
) -> Iterator[Symptom]:
    """Yield that a phase takes long; other targets' time stands beside it."""
    known = [(seconds, record) for record in mine if (seconds := seconds_of(record, phase)) is not None]
    if not known:
        return
    taken, record = max(known, key=lambda each: each[0])
    if taken <= limit:
        return
    proofs = [proof("seconds", Estimate(taken * 1e9, "ns"), (record.run_id,))]
    theirs = {r.run_id: s for r in others if counts(r) and (s := seconds_of(r, phase)) is not None}
    if theirs:
        middle = median(theirs.values())
        proofs.append(proof("seconds-others", Estimate(middle * 1e9, "ns", n=len(theirs)), tuple(sorted(theirs))[:8]))
    confidence, reason = why("strong", "phases")
    yield Symptom(kind, case, confidence, reason, tuple(proofs), no_gain=Phrase("advice.gain.once"))


def _idle(case: Case) -> Iterator[Symptom]:
    """A device that draws at rest most of what it draws at work: the first watt to save is the idle one."""
    for energy in case.record.energy:
        idle, watts = energy.idle_watts.value, energy.watts.value
        if idle is None or not watts or energy.simulated != case.record.system.simulated or idle / watts < IDLE:
            continue
        run = (case.record.run_id,)
        proofs = (
            proof("idle-watts", energy.idle_watts, run, Phrase("feedback.meter", _meter(energy.domain, energy.evidence))),
            proof("watts", energy.watts, run),
            proof("idle-share", Estimate(idle / watts, "share"), run),
        )
        gain = Gain(faster(watts, watts - (1 - IDLE_KEPT) * idle), "efficiency", Phrase("advice.how.idle"))
        yield Symptom("idle-power", case, *why("strong", "meter"), proofs, gain)
        return


def _meter(domain: str, evidence: str) -> dict[str, str]:
    return {"domain": domain, "evidence": evidence}
