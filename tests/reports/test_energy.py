"""The section on power: evidence beside every watt, reasons for what is absent, no watt where none was measured."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.roofline import Roofline, roofline
from npubench.plan.hardware import Figure, declared_tdp, shipped_hardware
from npubench.report.page import Band, ComparisonPage, EnergyCell, EnergyLine, EnergyRow, PowerCourse, Ratio, Series
from npubench_reports.html import render

MakePage = Callable[..., ComparisonPage]
LANGUAGES = ("ko", "en")
HARDWARE = shipped_hardware()
SHORT = "the sensor changes every 1000 ms: needs a window of 30 s, it has 5 s"
MET = Ratio(2.5, 2.4, 2.6, 0.95, None, "better")


def line(watts: float = 40.0, **changes: Any) -> EnergyLine:
    made = EnergyLine(
        sensor="card counter",
        domain="card",
        evidence="device energy counter",
        watts=Estimate(watts, "W", watts * 0.999, watts * 1.001),
        peak_watts=Estimate(watts * 1.2, "W"),
        idle_watts=absent("W", SHORT),
        joules_per_sample=Estimate(0.04, "J/sample", 0.0399, 0.0401),
        samples_per_joule=Estimate(25.0, "samples/J", 24.9, 25.1),
        coverage=1.0,
        simulated=False,
    )
    return replace(made, **changes)


def cell(subject: str, *lines: EnergyLine, **changes: Any) -> EnergyCell:
    made = EnergyCell(subject, "run", "ok", lines, "" if lines else "no-meter", (), Roofline(reason="unknown-device", words="X"))
    return replace(made, **changes)


def course(subject: str) -> PowerCourse:
    hole = tuple(None if 10 < n < 20 else 40.0 + n % 3 for n in range(240))
    times = tuple(None if n < 40 else 2e6 for n in range(240))
    return PowerCourse(
        scenario="offline",
        workload="doc-orientation",
        title={"en": "Document orientation"},
        subject=subject,
        run_id="run",
        domain="card",
        evidence="device energy counter",
        power=Series("power", "W", -10.0, 0.3, hole),
        latency=Series("service-time", "ns", -10.0, 0.3, times, times, times),
        phases=(Band("warm-up", -10.0, 0.0), Band("measure", 0.0, 62.0)),
        throttled=(Band("clock", 20.0, 30.0),),
    )


@pytest.fixture(scope="module")
def page(make_page: MakePage) -> ComparisonPage:
    """A page of four subjects: the baseline, one that is better, one by another meter, one without any."""
    made = make_page(4, 1, scenarios=("offline",))
    rngd, l4 = HARDWARE.entries["RNGD"], HARDWARE.entries["L4"]
    cells = (
        cell("s0", line(55.0), declared=declared_tdp(l4)),
        cell(
            "s1",
            line(ratio=MET, policy="met", rank=1),
            declared=declared_tdp(rngd),
            roofline=roofline(HARDWARE, "Warboy", "int8", 1e5, 8_200_000_000, artefact_bytes=10**7, batch=8),
        ),
        cell(
            "s2",
            line(
                domain="wall",
                evidence="wall meter",
                sensor="WT310",
                ratio=Ratio(None, None, None, 0.95, None, "not-comparable", "different-domain"),
                samples_per_joule=absent(
                    "samples/J", "the energy is uncertain by ±0.83%, allowed is ±0.5%; a longer window narrows it"
                ),
            ),
        ),
        cell("s3"),
    )
    row = EnergyRow("offline", "doc-orientation", {"ko": "문서 방향", "en": "Document orientation"}, cells)
    return replace(made, energy=(row,), courses=(course("s1"),))


def section(page: ComparisonPage, language: str = "en") -> ElementTree.Element:
    html = render(page, language=language)
    root = ElementTree.fromstring(html.lstrip().removeprefix("<!DOCTYPE html>"))
    return next(e for e in root.iter("section") if e.get("id") == "energy")


def text_of(element: ElementTree.Element) -> str:
    return " ".join(" ".join(element.itertext()).split())


def lines_of(found: ElementTree.Element) -> list[list[str]]:
    table = next(t for t in found.iter("table") if "watts" in t.get("class", ""))
    return [[text_of(each) for each in row] for row in table.iter("tr")][2:]


def test_every_watt_has_domain_and_evidence_beside_it(page: ComparisonPage) -> None:
    table = lines_of(section(page))
    for row in table:
        if any(" W" in text for text in row[2:5]):
            assert re.match(r"(Card|Wall) · (device energy counter|wall meter)", row[1])
    assert "55.00 W" in table[0][2]
    assert table[2][1].startswith("Wall · wall meter")
    assert "WT310" in table[2][1]


def test_absent_figures_have_their_reason(page: ComparisonPage) -> None:
    found = section(page)
    assert all(row[4].startswith("—") for row in lines_of(found)[:3])
    notes = text_of(next(e for e in found.iter("ul") if e.get("class") == "notes"))
    assert "needs a window of 30 s" in notes
    assert "uncertain by ±0.83%, allowed is ±0.5%" in notes
    assert "no sensor or meter measured power" in lines_of(found)[3][1]


def test_the_policy_is_answered_and_other_domains_are_not_compared(page: ComparisonPage) -> None:
    table = lines_of(section(page))
    assert "2.50×" in table[1][7]
    assert "reaches 2.0×" in table[1][7]
    assert table[2][7] == "not comparable: other domain"
    assert "측정 범위가 다름" in lines_of(section(page, "ko"))[2][7]


@pytest.mark.parametrize(
    ("ratio", "policy", "words"),
    [
        (Ratio(2.0, 1.9, 2.1, 0.95, None, "better"), "indistinguishable", "2.0배 충족 여부 판별 불가"),
        (Ratio(1.5, 1.4, 1.6, 0.95, None, "better"), "missed", "2.0배 미달"),
    ],
)
def test_what_does_not_surely_reach_the_policy_says_so(page: ComparisonPage, ratio: Ratio, policy: Any, words: str) -> None:
    row = page.energy[0]
    changed = replace(row, cells=(row.cells[0], cell("s1", line(ratio=ratio, policy=policy))))
    found = section(replace(page, energy=(changed,)), "ko")
    assert words in lines_of(found)[1][7]


def test_declared_tdp_stands_in_its_own_column_with_its_source(page: ComparisonPage) -> None:
    found = section(page, "ko")
    table = next(t for t in found.iter("table") if "watts" in t.get("class", ""))
    assert text_of(next(iter(table.iter("tr")))).endswith("정격 TDP(제조사 표기)")
    rows = lines_of(found)
    assert [row[-1] for row in rows] == ["72 W", "180 W (2025), 150 W (2024)", "—", "—"]
    assert not any("180" in text or "72" in text for row in rows for text in row[2:-1])
    assert "furiosa.ai/blog/rngd-preview" in text_of(found)


def test_an_unverified_figure_is_shown_as_such(page: ComparisonPage) -> None:
    figure = Figure(what="tdp", value=25.0, unit="W", scope="card", source="no source at hand", date="", unverified=True)
    row = replace(page.energy[0], cells=(cell("s0", line(), declared=(figure,)),))
    assert lines_of(section(replace(page, energy=(row,))))[0][-1] == "25 W (unverified)"


def test_the_ratio_is_drawn_beside_the_policy_line(page: ComparisonPage) -> None:
    plot = next(svg for svg in section(page).iter() if svg.get("role") == "img")
    policy = next(float(e.attrib["x1"]) for e in plot.iter() if e.get("class") == "bound")
    even = next(float(e.attrib["x1"]) for e in plot.iter() if e.get("class") == "even")
    mark = next(e for e in plot.iter() if "edged" in e.get("class", ""))
    at = float(re.findall(r"[\d.]+", mark.attrib["transform"])[0])
    left = 2 * even - policy
    assert (at - left) / (policy - left) == pytest.approx(2.5 / 2.0, abs=0.01)
    assert "Policy aim 2.0×" in text_of(plot[1])


def test_the_course_shows_phases_holes_and_throttling(page: ComparisonPage) -> None:
    found = section(page)
    plot = [svg for svg in found.iter() if svg.get("role") == "img"][1]
    classes = [e.get("class", "") for e in plot.iter()]
    assert classes.count("trail") == 3
    assert classes.count("spread") == 1
    assert classes.count("held") == 1
    assert [c for c in classes if c.startswith("phase")] == ["phase", "phase window"]
    assert "Held back: clock drop" in text_of(plot[1])
    assert "Red marks where" in text_of(found)


def test_the_course_has_its_figures_as_a_table_in_which_a_hole_is_a_dash(page: ComparisonPage) -> None:
    captions = [table for table in section(page).iter("table") if (table.get("class") or "") == "dense"]
    rows = [[text_of(cell).strip() for cell in row] for table in captions for row in table.iter("tr")]
    heads, lines = rows[0], rows[1:]
    assert len(heads) == 3
    assert len(lines) == 240
    assert lines[0] == ["-10", "40", "—"]
    assert lines[15][1] == "—"
    assert lines[40] == ["2", "41", "2"]


def test_more_than_the_peak_is_shown_with_its_doubt(page: ComparisonPage) -> None:
    text = text_of(section(page))
    assert "1,280%" in text
    assert "above 100%: wrong operations or wrong peak" in text
    assert "64 TOPS (INT8, dense or sparse not stated, taken as dense, chip" in text
    assert "the hardware catalogue has no “X”" in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_a_meter_no_watt_stands_anywhere_and_the_page_says_what_to_connect(page: ComparisonPage, language: str) -> None:
    row = page.energy[0]
    # Declared figures are watts as well: where none was measured they would be the only ones.
    bare = tuple(replace(one, lines=(), reason="no-meter") for one in row.cells)
    found = section(replace(page, energy=(replace(row, cells=bare),), courses=()), language)
    text = text_of(found)
    assert not re.search(r"\d\s*(m|k)?W\b", text)
    assert "[meter." in text
    assert {"ko": "PDU나 BMC", "en": "a PDU or BMC"}[language] in text


def test_a_page_of_before_energy_still_renders(make_page: MakePage) -> None:
    assert "[meter.NAME]" in text_of(section(make_page(2, 1)))


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_of_records_stay_text(page: ComparisonPage, language: str) -> None:
    evil = "<script>sensor()</script>\"'>"
    row = page.energy[0]
    figure = Figure(what="tdp", value=1.0, unit="W", scope="card", source=evil, date="", note=evil)
    made = line(
        sensor=evil, domain=evil, evidence=evil, idle_watts=absent("W", evil), ratio=replace(MET, value=None, reason=evil)
    )
    cells = (cell("s0", made, declared=(figure,), roofline=Roofline(reason="unknown-device", words=evil)),)
    named = replace(course("s0"), domain=evil, evidence=evil, phases=(Band(evil, 0.0, 62.0),), throttled=(Band(evil, 1.0, 2.0),))
    html = render(replace(page, energy=(replace(row, cells=cells),), courses=(named,)), language=language)
    assert "<script" not in html
    assert html.count("&lt;script&gt;sensor()") > 5


def test_every_plot_and_table_has_its_words(page: ComparisonPage) -> None:
    found = section(page, "ko")
    plots = [svg for svg in found.iter() if svg.get("role") == "img"]
    assert len(plots) == 3  # ratios, a course, a roofline
    for plot in plots:
        assert text_of(plot[0]) and text_of(plot[1])
    for table in found.iter("table"):
        assert table[0].tag == "caption" and text_of(table[0])
        for row in table.iter("tr"):
            assert sum(int(each.get("colspan", "1")) for each in row) == len(next(iter(table.iter("tr"))))
    assert not re.search(r"[a-z]+(-[a-z]+)*\.[a-z]+(-[a-z]+)+", re.sub(r"[\w./-]+\.(com|ai|dev)\S*", "", text_of(found)))
