"""Power in a comparison: evidence beside every watt, reasons for what is absent, declared figures apart, no roof without one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.roofline import Roofline, roofline
from npubench.plan.hardware import Figure, declared_tdp, shipped_hardware
from npubench.report.comparison_document import comparison_sections
from npubench.report.comparison_energy import COURSES
from npubench.report.document import Document, Grid, Notice, Plot, Section
from npubench.report.page import (
    Band,
    ComparisonPage,
    EnergyCell,
    EnergyLine,
    EnergyRow,
    Policy,
    PowerCourse,
    PowerPoint,
    PowerSweep,
    Ratio,
    Series,
)
from npubench_reports import document_html, plots
from npubench_reports.messages import load
from npubench_reports.spoken import grid, phrase

MakePage = Callable[..., ComparisonPage]
LANGUAGES = ("ko", "en")
HARDWARE = shipped_hardware()
EN = load("en")
BETTER = Ratio(2.5, 2.4, 2.6, 0.95, None, "better")
OTHER = Ratio(None, None, None, 0.95, None, "not-comparable", "different-domain")


def line(domain: str, evidence: str, ratio: Ratio | None = None, policy: Policy = "") -> EnergyLine:
    rate = Estimate(25.0, "samples/J", 24.9, 25.1) if domain == "card" else absent("samples/J", "no energy was drawn")
    return EnergyLine(
        sensor="meter 1",
        domain=domain,
        evidence=evidence,
        watts=Estimate(55.25, "W", 55.2, 55.3),
        peak_watts=Estimate(66.0, "W"),
        idle_watts=absent("W", "the sensor changes every 1000 ms: needs a window of 30 s, it has 5 s"),
        joules_per_sample=Estimate(0.04, "J/sample", 0.0399, 0.0401),
        samples_per_joule=rate,
        coverage=1.0,
        simulated=False,
        ratio=ratio,
        policy=policy,
    )


def warboy(rate: float = 1e3, size: int | None = 10**7) -> Roofline:
    return roofline(HARDWARE, "Warboy", "int8", rate, 8_200_000_000, artefact_bytes=size, batch=8)


def course(page: ComparisonPage) -> PowerCourse:
    row = page.tables[0].rows[0]
    watts = Series("power", "W", -10.0, 0.3, tuple(None if 10 < n < 20 else 40.0 + n % 3 for n in range(240)))
    times = Series("service-time", "ns", -10.0, 0.3, tuple(None if n < 40 else 2e6 for n in range(240)))
    phases, held = (Band("warm-up", -10.0, 0.0), Band("measure", 0.0, 62.0)), (Band("clock", 20.0, 30.0),)
    where = ("offline", row.workload, row.title, "s1", row.cells[1].run_id, "card", "device energy counter")
    return PowerCourse(*where, watts, times, phases, held)


@pytest.fixture(scope="module")
def page(make_page: MakePage) -> ComparisonPage:
    """The baseline, one that is better, one by another meter, one without any."""
    made = make_page(4, 1, scenarios=("offline",))
    row, counter, unknown = made.tables[0].rows[0], "device energy counter", Roofline(reason="unknown-device", words="X1")
    parts: tuple[tuple[tuple[EnergyLine, ...], tuple[Any, ...], Roofline], ...] = (
        ((line("card", counter),), declared_tdp(HARDWARE.entries["L4"]), unknown),
        ((line("card", counter, BETTER, "met"),), declared_tdp(HARDWARE.entries["RNGD"]), warboy()),
        ((line("wall", "wall meter", OTHER),), (), unknown),
        ((), (), unknown),
    )
    cells = tuple(
        EnergyCell(cell.subject, cell.run_id, "ok", lines, "" if lines else "no-meter", declared, roof)
        for cell, (lines, declared, roof) in zip(row.cells, parts, strict=True)
    )
    return replace(made, energy=(EnergyRow("offline", row.workload, row.title, cells),), courses=(course(made),))


def section(page: ComparisonPage, name: str) -> Section:
    return next(each for each in comparison_sections(page) if each.name == name)


def rows(page: ComparisonPage, name: str, language: str = "en", part: str = "energy") -> tuple[list[str], list[list[str]]]:
    """Return a table's headings and its rows as they are shown, intervals, reasons and remarks among them."""
    found = next(block for block in section(page, part).blocks if isinstance(block, Grid) and block.name == name)
    shown = grid(found, load(language))
    every = [(row.heading, *row.cells) for row in shown.rows]
    said = [[" ".join(filter(None, (c.text, c.interval, str(c.reason), str(c.remark)))) for c in row] for row in every]
    return list(shown.headings), said


def drawn(page: ComparisonPage, part: str) -> list[Plot]:
    return [block for block in section(page, part).blocks if isinstance(block, Plot)]


def test_every_watt_has_domain_and_evidence_beside_it(page: ComparisonPage) -> None:
    _, lines = rows(page, "energy-offline")
    assert [line[1] for line in lines[:3]] == [
        "Card device energy counter — meter 1",
        "Card device energy counter — meter 1",
        "Wall wall meter — meter 1",
    ]
    assert lines[0][2] == "55.25 W 55.20 – 55.30"
    assert "no sensor or meter measured power" in lines[3][1]
    assert not re.search(r"\d W", " ".join(lines[3]))


def test_absent_figures_have_their_reason(page: ComparisonPage) -> None:
    headings, lines = rows(page, "energy-offline", "ko")
    idle = headings.index("유휴 전력")
    assert all(re.match("— .*30초 이상", line[idle]) for line in lines[:3])


def test_the_policy_is_answered_and_other_domains_are_not_compared(page: ComparisonPage) -> None:
    headings, lines = rows(page, "energy-offline")
    at = headings.index("Against the baseline")
    assert lines[1][at].startswith("2.50 × 2.40 – 2.60 (95%)"[:18])
    assert lines[1][at + 1].startswith("○")
    assert lines[0][at] == lines[0][at + 1] == ""
    assert "other domain" in lines[2][at]
    (ratios,) = [plot for plot in drawn(page, "energy") if plot.form == "bars"]
    assert [level.at for level in ratios.levels] == [1.0, 2.0]
    assert [(point.y, point.low) for series in ratios.series for point in series.points] == [(2.5, 2.4)]


def test_declared_tdp_stands_in_its_own_column_with_its_source(page: ComparisonPage) -> None:
    headings, lines = rows(page, "energy-offline", "ko")
    assert headings[-1] == "정격 TDP(제조사 표기)"
    assert [line[-1] for line in lines] == ["72 W", "180 W (2025), 150 W (2024)", "", ""]
    assert not any("180" in text or "72" in text for line in lines for text in line[2:-1])
    _, sources = rows(page, "tdp", "ko")
    assert any("furiosa.ai/blog/rngd-preview" in text for source in sources for text in source)


def test_a_run_over_time_has_its_phases_holes_and_where_it_was_held_back(page: ComparisonPage) -> None:
    power, response = [plot for plot in drawn(page, "energy") if plot.form == "steps"]
    assert [(stretch.label.key, stretch.grave) for stretch in power.stretches] == [
        ("phase.warm-up", False),
        ("phase.measure", False),
        ("held.clock", True),
    ]
    (series,) = power.series
    assert [point.y for point in series.points[10:21]] == [41.0, *[None] * 9, 42.0]
    assert "clock drop" in str(phrase(power.alt, EN))
    assert "red: clock drop" in plots.svg(power, EN, standalone=False)
    assert plots.svg(power, EN, standalone=False).count('fill-opacity="0.16"') == 1
    assert str(phrase(response.y.label, EN)) == "Time in executor"
    assert len(power.table.rows) == 3


def test_more_runs_than_a_page_holds_are_counted_and_not_drawn(page: ComparisonPage) -> None:
    many = replace(page, courses=page.courses * (COURSES + 5))
    assert sum(plot.form == "steps" for plot in drawn(many, "energy")) == 2 * COURSES
    (notice,) = [block for block in section(many, "energy").blocks if isinstance(block, Notice)]
    assert str(phrase(notice.sentence, EN)).startswith("40 of 45 runs are drawn over time")


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_a_meter_no_watt_stands_anywhere_and_the_report_says_what_to_connect(page: ComparisonPage, language: str) -> None:
    row = page.energy[0]
    # Declared figures are watts as well: where none was measured they would be the only ones.
    bare = replace(row, cells=tuple(replace(one, lines=(), reason="no-meter") for one in row.cells))
    (only,) = section(replace(page, energy=(bare,), courses=()), "energy").blocks
    assert isinstance(only, Notice)
    text = str(phrase(only.sentence, load(language)))
    assert not re.search(r"\d\s*(m|k)?W\b", text)
    assert {"ko": "PDU나 BMC", "en": "a PDU or BMC"}[language] in text
    assert "[meter." in text


def test_a_page_without_energy_has_no_section_on_it(make_page: MakePage) -> None:
    assert not {"energy", "sweeps", "rooflines"} & {each.name for each in comparison_sections(make_page(2, 1))}


# -- power limits ---------------------------------------------------------------------------------------------------------


def point(subject: str, watts: float | None, per_joule: float | None, **changes: Any) -> PowerPoint:
    rate = absent("samples/J", "no energy was drawn") if per_joule is None else Estimate(per_joule, "samples/J", per_joule * 0.99)
    made = line("card", "device energy counter")
    throughput = Estimate(1000.0, "samples/s", 990.0, 1010.0)
    found = PowerPoint(subject, watts, True, "ok", "", throughput, replace(made, samples_per_joule=rate))
    return replace(found, **changes)


def swept(page: ComparisonPage, *points: PowerPoint, **changes: Any) -> ComparisonPage:
    row = page.tables[0].rows[0]
    made = PowerSweep("offline", row.workload, row.title, "gpu · fp32", "card", "device energy counter", points, "")
    return replace(page, sweeps=(replace(made, **changes),))


def test_a_sweep_has_limit_speed_watts_and_efficiency_with_the_best_marked(page: ComparisonPage) -> None:
    refused = "power limit of 500 W: the device takes 100 to 400 W"
    gone = point("s2", 500.0, None, status="skipped", reason=refused, throughput=None, line=None)
    shown = swept(
        page, point("s0", 100.0, 8.0), point("s1", 200.0, 12.0, mark="best"), gone, point("s3", 250.0, 9.0, asked=False)
    )
    _, lines = rows(shown, "sweep-1", part="sweeps")
    assert [each[0].removesuffix(" Simulated device") for each in lines] == ["100 W", "200 W", "500 W", "as found (250 W)"]
    assert lines[1][3].startswith("12.0") and lines[1][4] == "◎ most efficient"
    assert refused in lines[2][1]
    efficiency, throughput = drawn(shown, "sweeps")
    assert [[p.x for p in series.points] for series in efficiency.series] == [[100.0, 200.0], [250.0]]
    assert [series.joined for series in throughput.series] == [True, False]


def test_a_limit_as_found_that_is_far_away_or_unknown_is_in_the_table_and_not_drawn(page: ComparisonPage) -> None:
    refused = point("s3", 900.0, None, status="skipped", reason="no", throughput=None, line=None)
    found = point("s1", 800.0, 9.0, asked=False), point("s2", None, 9.0, asked=False)
    shown = swept(page, point("s0", 100.0, 8.0), refused, *found, unranked="single")
    assert [p.x for plot in drawn(shown, "sweeps") for series in plot.series for p in series.points] == [100.0, 100.0]
    assert {each[0] for each in rows(shown, "sweep-1", part="sweeps")[1]} >= {"as found (800 W)", "as found (limit not known)"}


def test_a_sweep_of_which_nothing_is_known_has_no_plot(page: ComparisonPage) -> None:
    gone = point("s0", 100.0, None, status="failed", reason="", throughput=None, line=None)
    assert drawn(swept(page, gone, replace(gone, subject="s1", limit_watts=200.0), domain="", evidence=""), "sweeps") == []


# -- rooflines ------------------------------------------------------------------------------------------------------------


def roofed(page: ComparisonPage, *roofs: Roofline) -> ComparisonPage:
    row = page.tables[0].rows[0]
    cells = tuple(EnergyCell(f"s{n}", row.cells[n].run_id, "ok", (), "no-meter", (), roof) for n, roof in enumerate(roofs))
    return replace(page, energy=(EnergyRow("offline", row.workload, row.title, cells),))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_roof_is_declared_and_says_by_whom(page: ComparisonPage, language: str) -> None:
    unknown = roofline(HARDWARE, "Mystery X1", "fp32", 1e3, 8_200_000_000, artefact_bytes=10**7, batch=8)
    under, without = drawn(roofed(page, warboy(), unknown), "rooflines")
    assert [series.nature for series in under.series] == ["measured", "declared"]
    assert [series.nature for series in without.series] == ["measured"]
    assert ("declared by the vendor" in str(phrase(under.alt, load(language)))) == (language == "en")
    assert ("No roof" in str(phrase(without.alt, load(language)))) == (language == "en")
    (_, bend, level) = under.series[1].points
    assert bend.y == level.y == 64e12, "rises, then level at the declared peak"
    _, lines = rows(roofed(page, warboy(), unknown), "rooflines-offline", language, "rooflines")
    assert "64.0 TOPS" in lines[0][3] and "furiosa" in lines[0][3]


def test_more_than_the_peak_is_shown_with_its_doubt(page: ComparisonPage) -> None:
    _, lines = rows(roofed(page, warboy(1e5)), "rooflines-offline", part="rooflines")
    assert lines[0][2] == "1,280 %"
    assert lines[0][-1].startswith("above 100%: wrong operations or wrong peak")


def test_a_run_without_a_known_size_is_in_the_table_and_not_in_the_plot(page: ComparisonPage) -> None:
    shown = roofed(page, warboy(size=None))
    assert drawn(shown, "rooflines") == []
    assert "8.20 TOPS" in rows(shown, "rooflines-offline", part="rooflines")[1][0][1]


def test_without_a_declared_peak_a_sentence_says_so_and_simulated_devices_have_none(page: ComparisonPage) -> None:
    unknown = Roofline(reason="unknown-device", words="Mystery X1")
    (only,) = section(roofed(page, unknown, unknown), "rooflines").blocks
    assert isinstance(only, Notice)
    assert "no declared peak of Mystery X1." in str(phrase(only.sentence, EN))
    assert "rooflines" not in {each.name for each in comparison_sections(roofed(page, Roofline(reason="simulated")))}


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_of_records_stay_text(
    page: ComparisonPage, to_document: Callable[[ComparisonPage], Document], language: str
) -> None:
    evil = "<script>sensor()</script>\"'>"
    row = page.energy[0]
    figure = Figure(what="tdp", value=1.0, unit="W", scope="card", source=evil, date="", note=evil)
    made = replace(line("card", "wall meter"), sensor=evil, domain=evil, evidence=evil, idle_watts=absent("W", evil))
    cells = (replace(row.cells[0], lines=(replace(made, ratio=replace(OTHER, reason=evil)),), declared=(figure,)),)
    named = replace(
        page.courses[0], domain=evil, evidence=evil, phases=(Band(evil, 0.0, 62.0),), throttled=(Band(evil, 1.0, 2.0),)
    )
    changed = replace(page, energy=(replace(row, cells=cells),), courses=(named,))
    html = document_html.render(to_document(changed), language=language).decode("utf-8")
    assert "<script" not in html
    assert html.count("&lt;script&gt;sensor()") > 5
