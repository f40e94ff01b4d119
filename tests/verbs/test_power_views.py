"""Rooflines and power sweeps on a terminal: declared figures with their source, the best limit marked, reasons below."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.roofline import Roofline, roofline
from npubench.plan.hardware import shipped_hardware
from npubench.report.page import ComparisonPage, EnergyCell, EnergyLine, EnergyRow, PowerPoint, PowerSweep, Subject
from npubench.verbs import rooflines, sweeps

HARDWARE = shipped_hardware()


def page(*roofs: Roofline, sweep: PowerSweep | None = None) -> Any:
    subjects = tuple(Subject(f"s{n}", f"card{n} · int8", f"card{n}", "b", "d", "int8", {}, "n", False) for n in range(4))
    cells = tuple(EnergyCell(f"s{n}", "run", "ok", (), "no-meter", (), roof) for n, roof in enumerate(roofs))
    rows = (EnergyRow("offline", "resnet", {}, cells),) if roofs else ()
    empty: Any = ((),) * 4
    return ComparisonPage("t", ("smoke",), "", subjects, (), *empty, energy=rows, sweeps=(sweep,) if sweep is not None else ())


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Console:
    made = Console(width=170, record=True, file=None, force_terminal=False, highlight=False)
    monkeypatch.setattr(rooflines, "out", made)
    monkeypatch.setattr(sweeps, "out", made)
    return made


def said(console: Console) -> str:
    return " ".join(console.export_text().split())


def test_a_roofline_has_its_fractions_and_the_source_of_what_is_declared(console: Console) -> None:
    known = roofline(HARDWARE, "Warboy", "int8", 1e3, 8_200_000_000, artefact_bytes=10**7, batch=8)
    odd = roofline(HARDWARE, "Mystery", "fp32", 1.0, 8_200_000, artefact_bytes=10**7)
    rooflines.print_rooflines(page(known, odd, Roofline("X", reason="newer"), Roofline(reason="simulated")))
    text = said(console)
    for words in (
        "8.2 Top/s",
        "12.8 %",
        "6.56e+03",
        "'Mystery' is not in the hardware catalogue",
        "0.0082 Gop/s",
        "newer",
        "SIMULATED",
    ):
        assert words in text, words
    assert "nobody here has measured" in text
    assert "declared: Warboy: 64 TOPS (int8" in text
    assert "furiosa" in text


def test_without_a_declared_peak_there_is_a_sentence_and_no_table(console: Console) -> None:
    rooflines.print_rooflines(page(roofline(HARDWARE, "Mystery", "fp32", 1.0, 8_200_000)))
    assert said(console) == "no roofline: the hardware catalogue has no declared peak of Mystery"
    rooflines.print_rooflines(page(Roofline(reason="simulated")))
    rooflines.print_rooflines(page())
    assert said(console) == ""


def point(watts: float | None, per_joule: float | None, **changes: Any) -> PowerPoint:
    none = absent("W", "no idle baseline")
    efficiency = absent("samples/J", "the window is empty") if per_joule is None else Estimate(per_joule, "samples/J", 11.9, 12.1)
    line = EnergyLine(
        "c", "card", "device energy counter", Estimate(90.0, "W"), none, none, absent("J/sample", "x"), efficiency, 1.0, False
    )
    made = PowerPoint("s0", watts, True, "ok", "", Estimate(950.0, "samples/s"), line)
    return replace(made, **changes)


def test_a_sweep_has_its_limits_with_the_best_marked_and_reasons_below(console: Console) -> None:
    points = (
        point(100.0, 12.0, mark="best"),
        point(200.0, None, status="invalid"),
        point(500.0, None, status="skipped", reason="power limit of 500 W: this device shows none", throughput=None, line=None),
        point(None, 12.0, asked=False),
        point(300.0, 12.0, line=None),
    )
    sweeps.print_sweeps(
        page(sweep=PowerSweep("offline", "resnet", {}, "gpu · int8", "card", "device energy counter", points, "smoke"))
    )
    text = said(console)
    for words in (
        "offline, resnet: gpu · int8 by power limit, card · device energy counter",
        "100 W 950.0 samples/s 90 12 [11.9 … 12.1] most efficient",
        "200 W: the window is empty",
        "power limit of 500 W: this device shows none",
        "300 W: no meter",
        "as found 950.0",
        "grade smoke is never ranked",
    ):
        assert words in text, words
    assert text.count("invalid") == 1
