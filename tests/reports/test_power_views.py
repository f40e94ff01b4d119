"""Power sweeps and rooflines on the page: what is declared is marked, what is best is the page's, every plot has its words."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from babel.core import Locale

from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.roofline import Roofline, roofline
from npubench.plan.hardware import shipped_hardware
from npubench.report.page import ComparisonPage, EnergyCell, EnergyLine, EnergyRow, PowerPoint, PowerSweep
from npubench_reports import roofline_charts
from npubench_reports.charts import WIDTH, Look
from npubench_reports.html import render
from npubench_reports.messages import load
from npubench_reports.numbers import Scale
from npubench_reports.reasons import say
from npubench_reports.sweep_charts import SweepInput, sweep

MakePage = Callable[..., ComparisonPage]
LANGUAGES = ("ko", "en")
HARDWARE = shipped_hardware()
EN = Locale.parse("en")
LOOK = Look(0, 0)
FEW = "the counter does not move"


def line(per_joule: float | None) -> EnergyLine:
    none = absent("W", "no idle baseline")
    efficiency = (
        absent("samples/J", FEW) if per_joule is None else Estimate(per_joule, "samples/J", per_joule * 0.99, per_joule * 1.01)
    )
    joules = absent("J/sample", FEW)
    return EnergyLine("counter", "card", "device energy counter", Estimate(90.0, "W"), none, none, joules, efficiency, 1.0, False)


def point(subject: str, watts: float | None, per_joule: float | None, **changes: Any) -> PowerPoint:
    made = PowerPoint(subject, watts, True, "ok", "", Estimate(1000.0, "samples/s", 990.0, 1010.0), line(per_joule))
    return replace(made, **changes)


def swept(page: ComparisonPage, *points: PowerPoint, **changes: Any) -> ComparisonPage:
    made = PowerSweep("offline", page.tables[0].rows[0].workload, {}, "gpu · fp32", "card", "device energy counter", points, "")
    return replace(page, sweeps=(replace(made, **changes),))


@pytest.fixture(scope="module")
def page(make_page: MakePage) -> ComparisonPage:
    return make_page(4, 1, scenarios=("offline",))


def energy_section(page: ComparisonPage, language: str = "en") -> ElementTree.Element:
    html = render(page, language=language).removeprefix("<!DOCTYPE html>")
    return next(each for each in ElementTree.fromstring(html).iter("section") if each.get("id") == "energy")


def words(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def table_rows(section: ElementTree.Element, of: str) -> list[list[str]]:
    found = next(table for table in section.iter("table") if of in words(table[0]))
    return [[words(each) for each in row] for row in found.iter("tr")][1:]


# -- sweeps ---------------------------------------------------------------------------------------------------------------


def test_a_sweep_has_limit_speed_watts_and_efficiency_with_the_best_marked(page: ComparisonPage) -> None:
    refused = "power limit of 500 W: the device takes 100 to 400 W"
    shown = swept(
        page,
        point("s0", 100.0, 8.0),
        point("s1", 200.0, 12.0, mark="best"),
        point("s2", 500.0, None, status="skipped", reason=refused, throughput=None, line=None),
        point("s3", 250.0, 9.0, asked=False),
    )
    section = energy_section(shown)
    rows = table_rows(section, "by power limit")
    assert rows[0][0] == "100 W"
    assert rows[1][0] == "200 W most efficient"
    assert rows[1][3].startswith("12.00 samples/J")
    assert rows[2] == ["500 W", refused]
    assert rows[3][0] == "as found (250 W)"
    plot = next(svg for svg in section.iter("svg") if svg.get("role") == "img" and "sweep" in words(svg[0]))
    assert len(list(plot.iter("circle"))) == 1  # the ring around the best
    assert len([p for p in plot.iter("path") if "hollow" in p.get("class", "")]) == 2  # as found, in both quantities
    assert "200 W, 1,000 samples/s" in words(plot[1])
    assert words(plot[1]) in words(section)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_absent_in_a_sweep_has_its_reason(page: ComparisonPage, language: str) -> None:
    section = energy_section(swept(page, point("s0", 100.0, None), point("s1", 200.0, 12.0), unranked="single"), language)
    text = words(section)
    assert str(say(FEW, load(language))) in text
    assert "unranked." not in text
    assert ("No limit is marked" in text) == (language == "en")


def test_a_limit_as_found_that_is_far_away_or_unknown_is_named_and_not_drawn(page: ComparisonPage) -> None:
    refused = point("s3", 900.0, None, status="skipped", reason="no", throughput=None, line=None)
    found = point("s1", 800.0, 9.0, asked=False), point("s2", None, 9.0, asked=False)
    shown = swept(page, point("s0", 100.0, 8.0), refused, *found)
    section = energy_section(shown)
    below = [words(p) for p in section.iter("p") if p.get("class") == "left-out"]
    assert below == ["Not drawn — as found (800 W); as found (limit not known)"]


def test_a_sweep_of_which_nothing_is_known_has_no_plot(page: ComparisonPage) -> None:
    gone = point("s0", 100.0, None, status="failed", reason="", throughput=None, line=None)
    section = energy_section(swept(page, gone, replace(gone, subject="s1", limit_watts=200.0), domain="", evidence=""))
    assert [svg for svg in section.iter("svg") if svg.get("role") == "img"] == []


def test_no_mark_of_a_sweep_leaves_its_plot() -> None:
    given = [SweepInput(LOOK, w, True, "", v, v * 0.9, v * 1.1) for w, v in ((95.0, 8.0), (200.0, 12.0), (403.0, 7.0))]
    panel = sweep(given, given[:1], (Scale(1.0, ""), Scale(1.0, "")), EN)
    assert panel.efficiency is not None
    xs = [dot.x for dot in panel.efficiency.dots]
    assert xs == sorted(xs)
    assert panel.left + 6 <= xs[0] and xs[-1] <= panel.right - 6 <= WIDTH
    for dot in panel.efficiency.dots:
        assert dot.low is not None and dot.high is not None
        assert panel.efficiency.top <= dot.high < dot.y < dot.low <= panel.efficiency.bottom
    alone = sweep(given[:1], [], (Scale(1.0, ""), Scale(1.0, "")), EN)
    assert alone.throughput is None and alone.across


# -- rooflines ------------------------------------------------------------------------------------------------------------


def row(page: ComparisonPage, *roofs: Roofline) -> ComparisonPage:
    cells = tuple(EnergyCell(f"s{n}", "run", "ok", (), "no-meter", (), roof) for n, roof in enumerate(roofs))
    return replace(page, energy=(EnergyRow("offline", page.tables[0].rows[0].workload, {}, cells),))


def warboy(rate: float = 1e3, size: int | None = 10**7) -> Roofline:
    return roofline(HARDWARE, "Warboy", "int8", rate, 8_200_000_000, artefact_bytes=size, batch=8)


def unknown() -> Roofline:
    return roofline(HARDWARE, "Mystery X1", "fp32", 1e3, 8_200_000_000, artefact_bytes=10**7, batch=8)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_roofline_says_that_its_roof_is_declared_and_by_whom(page: ComparisonPage, language: str) -> None:
    section = energy_section(row(page, warboy(), unknown()), language)
    plots = [svg for svg in section.iter("svg") if svg.get("role") == "img"]
    assert len(plots) == 2
    roofs = [[line for line in plot.iter("polyline") if line.get("class") == "roof"] for plot in plots]
    assert [len(found) for found in roofs] == [1, 0]
    below = [words(p) for p in section.iter("p") if p.get("class") == "left-out"]
    assert "64 TOPS" in below[0] and "furiosa" in below[0]
    assert ("declared roof, measured by nobody here" in below[0]) == (language == "en")
    assert ("No roof" in below[1]) == (language == "en")
    for plot, text in zip(plots, below, strict=True):
        assert text in words(plot[1])  # the text alternative says it as well
    assert "6,560" in table_rows(section, "")[0]


def test_a_run_without_a_known_size_is_in_the_table_and_not_in_the_plot(page: ComparisonPage) -> None:
    section = energy_section(row(page, warboy(size=None)))
    assert [svg for svg in section.iter("svg") if svg.get("role") == "img"] == []
    assert "8.20 TOPS" in words(section)


def test_a_page_without_a_declared_peak_says_so_in_a_sentence(page: ComparisonPage) -> None:
    section = energy_section(row(page, unknown(), unknown()))
    assert "the hardware catalogue has no declared peak of Mystery X1." in words(section)
    assert list(section.iter("table")) == []


def test_simulated_devices_have_no_roofline_at_all(page: ComparisonPage) -> None:
    section = energy_section(row(page, Roofline(reason="simulated")))
    assert not re.search("roofline", words(section), re.IGNORECASE)


@pytest.mark.parametrize(("peak", "bandwidth", "bends"), [(1e13, 1e11, 3), (1e13, None, 2), (None, None, 0)])
def test_the_roof_bends_where_bandwidth_meets_the_peak(peak: float | None, bandwidth: float | None, bends: int) -> None:
    given = [roofline_charts.PointInput(LOOK, intensity, rate) for intensity, rate in ((10.0, 2e11), (1000.0, 4e12))]
    panel = roofline_charts.roofline(given, peak, bandwidth, Scale(1e12, "TOPS"), EN)
    places = [tuple(map(float, pair.split(","))) for pair in panel.roof.split()]
    assert len(places) == bends
    if bends == 3:
        (x0, y0), (x1, y1), (x2, y2) = places
        assert x0 == panel.left and x2 == panel.right and x0 < x1 < x2
        assert y0 > y1 == y2  # rises, then level
    for dot in panel.points:
        assert panel.left < dot.x < panel.right and panel.top < dot.y < panel.bottom
    assert panel.across and panel.up


def test_one_run_alone_has_axes_of_a_decade_and_equal_runs_have_numbers_apart() -> None:
    given = [roofline_charts.PointInput(LOOK, 100.0, 1e12)] * 5
    panel = roofline_charts.roofline(given, None, None, Scale(1e12, "TOPS"), EN)
    assert [dot.number for dot in panel.points] == ["1", "2", "3", "4", "5"]
    heights = sorted(dot.number_y for dot in panel.points)
    assert all(b - a >= 12.0 for a, b in itertools.pairwise(heights))
    assert len(panel.across) > 1 and len(panel.up) > 1
