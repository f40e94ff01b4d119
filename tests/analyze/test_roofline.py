"""Fractions of declared peaks: the golden values of published results, and what is absent, with its reason."""

from __future__ import annotations

import pytest

from npubench.analyze.roofline import roofline
from npubench.plan.hardware import shipped_hardware

HARDWARE = shipped_hardware()

#: Operations of a ResNet-50 image, 2 × multiply-accumulates (MLPerf inference paper).
RESNET50 = 8_200_000_000


@pytest.mark.parametrize(
    ("kind", "samples_per_s", "tops", "percent"),
    [
        # MLPerf inference v3.0 (ATOM, L4, A100, H100) and v2.0 (Warboy), ResNet-50 offline.
        ("ATOM", 7_245.87, 59.4, 46.4),
        ("Warboy", 2_758.44, 22.6, 35.3),
        ("L4", 13_157.8, 107.9, 44.5),
        ("A100 PCIe 80GB", 39_152.4, 321.0, 51.5),
        ("H100 PCIe", 56_635.0, 464.4, 30.7),
    ],
)
def test_published_results_come_out_at_their_known_fraction(kind: str, samples_per_s: float, tops: float, percent: float) -> None:
    found = roofline(HARDWARE, kind, "int8", samples_per_s, RESNET50)
    assert found.operations is not None
    assert found.compute is not None
    assert round(found.operations / 1e12, 1) == tops
    assert round(found.compute * 100, 1) == percent
    assert found.reason == found.doubt == ""


def test_more_than_the_peak_is_shown_and_doubted() -> None:
    found = roofline(HARDWARE, "Warboy", "int8", 10_000.0, RESNET50)
    assert found.compute is not None
    assert found.compute > 1.0
    assert found.doubt == "above-peak"


def test_the_sparse_peak_would_have_halved_it() -> None:
    found = roofline(HARDWARE, "L4", "int8", 13_157.8, RESNET50)
    assert found.peak is not None
    assert found.peak.density == "dense"


def test_bytes_are_the_artefact_once_a_batch() -> None:
    found = roofline(HARDWARE, "RNGD", "int8", 800.0, RESNET50, artefact_bytes=100_000_000, batch=8)
    assert found.bytes == pytest.approx(100e6 * 800 / 8)
    assert found.memory == pytest.approx(10e9 / 1.5e12)
    beyond = roofline(HARDWARE, "Warboy", "int8", 1000.0, 1, artefact_bytes=100_000_000)
    assert beyond.doubt == "above-bandwidth"
    # No bandwidth is declared for ATOM.
    assert roofline(HARDWARE, "ATOM", "int8", 1.0, RESNET50, artefact_bytes=1).memory is None


@pytest.mark.parametrize(
    ("kind", "precision", "rate", "operations", "simulated", "reason", "words"),
    [
        ("SIMULATED plain", "int8", 1.0, 1, True, "simulated", ""),
        ("RNGD", "int8", 1.0, 1, True, "simulated", ""),
        ("Some CPU", "int8", 1.0, 1, False, "unknown-device", "Some CPU"),
        ("ATOM", "int8", None, 1, False, "no-throughput", ""),
        ("ATOM", "int8", 1.0, 0, False, "no-operations", ""),
        ("ATOM", "vendor", 1.0, 1, False, "unknown-precision", ""),
        ("ATOM", "fp32", 1.0, 1, False, "no-peak", "fp16, int8, int4"),
        ("ATOM-Max", "int8", 1.0, 1, False, "no-peak", ""),
    ],
)
def test_what_cannot_be_said_is_absent_with_its_reason(
    kind: str, precision: str, rate: float | None, operations: int, simulated: bool, reason: str, words: str
) -> None:
    found = roofline(HARDWARE, kind, precision, rate, operations, simulated=simulated)
    assert (found.compute, found.reason, found.words) == (None, reason, words)
