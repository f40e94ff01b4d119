"""Memory that grows: how fast by the readings of a run, and how long the host lasts at that rate."""

from __future__ import annotations

from collections.abc import Iterator

from npubench.analyze.estimate import Estimate
from npubench.analyze.memory import growing
from npubench.record.schema import Record
from npubench.report.advice import Proof, Symptom, proof, why
from npubench.report.document import Phrase
from npubench.report.feedback_cases import Case

#: Growth is told for so many inferences.
MANY = 1_000_000
#: An interval whose lower end is at least this part of the value is narrow: the rate is known within a factor of two.
NARROW = 0.5


def memory_symptoms(case: Case) -> Iterator[Symptom]:
    """Yield that memory grows in a case, by the run of it that grows fastest."""
    found = [(each[0], record) for record in case.records if record.memory and (each := growing(record.memory)) is not None]
    if not found or not case.measured:
        return
    rate, record = max(found, key=lambda each: each[0])
    memory, run = record.memory, (record.run_id,)
    assert memory is not None
    growth = memory.growth
    narrow = growth.low is not None and growth.low >= NARROW * (growth.value or 0.0)
    low, high = (None if end is None else end * MANY for end in (growth.low, growth.high))
    proofs = (
        proof("memory-start", memory.start, run),
        proof("memory-end", memory.end, run),
        proof("memory-growth", Estimate((growth.value or 0.0) * MANY, "B", low, high, growth.confidence, growth.n), run),
        *_full(record, growth.value or rate),
    )
    confidence, reason = why("strong", "memory-narrow") if narrow else why("likely", "memory-wide")
    yield Symptom("memory-growth", case, confidence, reason, proofs, no_gain=Phrase("advice.gain.memory"))


def _full(record: Record, rate: float) -> Iterator[Proof]:
    """Yield how long it takes until the host's memory is full: what is left, over growth a sample and samples a second."""
    memory, throughput = record.memory, record.metrics.get("throughput")
    end = memory.end.value if memory is not None else None
    if end is None or throughput is None or not throughput.value or end >= record.system.memory_bytes:
        return
    hours = (record.system.memory_bytes - end) / (rate * throughput.value) / 3600
    host = Phrase("advice.remark.host-memory", {"gib": round(record.system.memory_bytes / 2**30, 1)})
    yield proof("memory-full", Phrase("feedback.memory.hours", {"hours": float(f"{hours:.3g}")}), (record.run_id,), host)
