"""Power on a terminal: evidence beside every watt, reasons below, and no watt where none was measured."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.roofline import Roofline
from npubench.plan.hardware import declared_tdp, shipped_hardware
from npubench.report.page import EnergyCell, EnergyLine, EnergyRow, Ratio
from npubench.report.pairs import Pair, Pairs
from npubench.verbs import watts

NOT = Ratio(None, None, None, 0.95, None, "not-comparable", "different-evidence")


def line(**changes: Any) -> EnergyLine:
    said: dict[str, Any] = {
        "sensor": "counter",
        "domain": "card",
        "evidence": "device energy counter",
        "watts": Estimate(42.9, "W"),
        "peak_watts": Estimate(60.0, "W"),
        "idle_watts": absent("W", "no idle baseline"),
        "joules_per_sample": Estimate(0.1, "J/sample"),
        "samples_per_joule": Estimate(10.0, "samples/J"),
        "coverage": 1.0,
        "simulated": False,
        **changes,
    }
    return EnergyLine(**said)


def page(*cells: EnergyCell) -> Any:
    subjects = [SimpleNamespace(key=cell.subject, label=f"{cell.subject} · int8") for cell in cells]
    rows = (EnergyRow("offline", "probe", {}, cells),) if cells else ()
    return SimpleNamespace(subjects=subjects, energy=rows, whole=None)


def cell(subject: str, *lines: EnergyLine, kind: str = "") -> EnergyCell:
    entry = shipped_hardware().find(kind)
    declared = declared_tdp(entry) if entry else ()
    return EnergyCell(subject, "run", "ok", lines, "" if lines else "no-meter", declared, Roofline())


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Console:
    made = Console(width=160, record=True, file=None, force_terminal=False, highlight=False)
    monkeypatch.setattr(watts, "out", made)
    return made


def test_a_page_says_evidence_ratio_policy_and_reasons(console: Console) -> None:
    better = Ratio(2.5, 2.4, 2.6, 0.95, None, "better")
    watts.print_energy(
        page(
            cell("gpu", line(), kind="L4"),
            cell("npu", line(ratio=better, policy="met"), line(evidence="wall meter", domain="wall", ratio=NOT)),
            cell("dumb"),
        )
    )
    text = " ".join(console.export_text().replace("│", " ").split())
    for words in ("card · device", "wall · wall meter", "42.9", "×2.50 [2.40 … 2.60]", "≥ 2.0×", "no meter", "— (1)"):
        assert words in text, words
    assert text.count("no idle baseline") == 1
    assert "evidence" in text
    assert "declared TDP of gpu · int8, not measured and never ranked: 72 W" in text


def test_without_a_meter_no_watt_is_printed_not_even_a_declared_one(console: Console) -> None:
    watts.print_energy(page(cell("gpu", kind="L4"), cell("npu", kind="RNGD")))
    text = console.export_text()
    assert "[meter.NAME]" in text
    assert not re.search(r"\d+ *W\b", text)


def test_nothing_is_said_where_there_is_no_run(console: Console) -> None:
    watts.print_energy(page())
    assert console.export_text() == ""


def test_pairs_have_both_sides(console: Console) -> None:
    ratio = Ratio(1.98, 1.9, 2.1, 0.95, None, "better")
    one = Pair(
        ("probe", "offline", "int8"),
        "throughput",
        None,
        None,
        "ok",
        "ok",
        ("nightly",),
        NOT,
        (),
        (line(ratio=ratio, policy="indistinguishable"),),
        (line(),),
    )
    watts.print_pair_energy(Pairs("new", "old", (one,), (), (), ()))
    text = " ".join(console.export_text().replace("│", " ").split())
    assert "×1.98 [1.90 … 2.10]" in text
    assert "not distinguishable" in text
    watts.print_pair_energy(Pairs("new", "old", (), (), (), ()))
    assert "[meter.NAME]" in console.export_text()
