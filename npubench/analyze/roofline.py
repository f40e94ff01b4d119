"""How much of a device's declared peak a run reached. A pure function of counts, a rate and declared figures.

Counted are the model's operations, 2 × multiply-accumulates of the FP32 graph, whatever a compiler makes of them, and the
bytes of the compiled artefact, read once for every batch. Neither is what the device really did: it may skip work, repeat
it, or keep weights on the chip. Both are taken against what the vendor declares and nobody here has measured.
"""

from __future__ import annotations

from dataclasses import dataclass

from npubench.plan.hardware import Figure, Hardware, HardwareEntry, bandwidth_of, peak_of


@dataclass(frozen=True, slots=True)
class Roofline:
    """A run beside the declared peaks of its device.

    Args:
        device: The catalogue's name of the device; empty where it has none.
        operations: Operations/s that were reached: counted operations × throughput; ``None`` where one is not known.
        peak: The declared peak of the precision, or ``None``.
        compute: ``operations`` ÷ peak, 0…; ``None`` without a peak.
        bytes: Bytes/s of reading the artefact once a batch; ``None`` where its size is not known.
        bandwidth: The declared memory bandwidth, or ``None``.
        memory: ``bytes`` ÷ bandwidth; ``None`` without one of them.
        intensity: Operations a byte: counted operations × batch ÷ bytes of the artefact; ``None`` where one is not known.
        reason: Why there is no ``compute``, as an id; empty where there is one.
        words: What belongs to the reason: the device kind, or the precisions there are.
    """

    device: str = ""
    operations: float | None = None
    peak: Figure | None = None
    compute: float | None = None
    bytes: float | None = None
    bandwidth: Figure | None = None
    memory: float | None = None
    intensity: float | None = None
    reason: str = ""
    words: str = ""

    @property
    def doubt(self) -> str:
        """What a fraction above 1 says, as an id: ``"above-peak"`` or ``"above-bandwidth"``; empty where nothing is above it."""
        if self.compute is not None and self.compute > 1.0:
            return "above-peak"
        return "above-bandwidth" if self.memory is not None and self.memory > 1.0 else ""


def roofline(
    hardware: Hardware,
    kind: str,
    precision: str,
    samples_per_s: float | None,
    operations: int,
    *,
    artefact_bytes: int | None = None,
    batch: int = 1,
    simulated: bool = False,
) -> Roofline:
    """Return a run's fraction of its device's declared peaks, or why there is none.

    Args:
        hardware: The catalogue.
        kind: The device's kind as the plug-in names it; only an entry of that name or alias counts.
        precision: The workload variant: ``fp32``, ``fp16``, ``bf16``, ``int8``, or ``vendor``, which is of no known peak.
        samples_per_s: Completed samples over the window; ``None`` where there is no such figure.
        operations: Operations a sample, 2 × multiply-accumulates.
        artefact_bytes: Size of the compiled artefact.
        batch: Samples in one call of the executor.
        simulated: Whether the device is no hardware: it has no peak.
    """
    if simulated:
        return Roofline(reason="simulated")
    entry = hardware.find(kind)
    if samples_per_s is None:
        return Roofline(entry.name, reason="no-throughput") if entry else Roofline(reason="unknown-device", words=kind)
    reached = float(operations) * samples_per_s if operations > 0 else None
    read = artefact_bytes * samples_per_s / batch if artefact_bytes and batch > 0 else None
    intensity = operations * batch / artefact_bytes if artefact_bytes and batch > 0 and operations > 0 else None
    if entry is None:
        return Roofline(operations=reached, bytes=read, intensity=intensity, reason="unknown-device", words=kind)
    bandwidth = bandwidth_of(entry)
    peak = None if precision == "vendor" else peak_of(entry, precision)
    reason, words = _why(entry, precision, reached, peak)
    return Roofline(
        device=entry.name,
        operations=reached,
        peak=peak,
        compute=reached / peak.size if reached is not None and peak is not None else None,
        bytes=read,
        bandwidth=bandwidth,
        memory=read / bandwidth.size if read is not None and bandwidth is not None else None,
        intensity=intensity,
        reason=reason,
        words=words,
    )


def _why(entry: HardwareEntry, precision: str, reached: float | None, peak: Figure | None) -> tuple[str, str]:
    """Return why there is no fraction of the peak, and the words that belong to it."""
    if reached is None:
        return "no-operations", ""
    if peak is not None:
        return "", ""
    if precision == "vendor":
        return "unknown-precision", ""
    known = dict.fromkeys(f.precision for f in entry.figure if f.precision and peak_of(entry, f.precision))
    return "no-peak", ", ".join(known)
