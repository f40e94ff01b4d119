"""Plots of documents are whole, keep names apart, draw no value that is missing, and say what was not measured."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from npubench.report.document import Axis, Document, Grid, Level, Phrase, Plot, Point, Series, Text
from npubench_reports import charts, plots
from npubench_reports.messages import load
from npubench_reports.plot_legend import look_of

SVG = "{http://www.w3.org/2000/svg}"
EMPTY = Grid("data", Phrase("document.plot"), (), ())
WORD = Phrase("document.plot")


def of(form: str, *series: Series, x: Axis | None = None, y: Axis | None = None, levels: tuple[Level, ...] = ()) -> Plot:
    axes = (x or Axis(WORD, "s"), y or Axis(WORD, "W"))
    return Plot("p", WORD, WORD, form, *axes, series, EMPTY, levels=levels)  # type: ignore[arg-type]  # one of four literals


def drawn(plot: Plot, language: str = "en") -> ElementTree.Element:
    return ElementTree.fromstring(plots.svg(plot, load(language), standalone=True))


def words(root: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in root.iter(SVG + "text")]


def lines_of(root: ElementTree.Element, colour: int = 0) -> list[str]:
    """Return the lines of a series, but for its sample in the legend."""
    found = [
        p.attrib["d"] for p in root.iter(SVG + "path") if p.get("stroke") == charts.COLOURS[colour] and p.get("fill") == "none"
    ]
    return found[1:]


def every(document: Document) -> list[Plot]:
    return [block for section in document.sections for block in section.blocks if isinstance(block, Plot)]


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("standalone", [True, False])
def test_every_form_is_well_formed_inside_its_box_and_harmless(document: Document, language: str, standalone: bool) -> None:
    forms = every(document)
    assert {plot.form for plot in forms} == {"lines", "bars", "points", "steps"}
    for plot in forms:
        text = plots.svg(plot, load(language), standalone=standalone)
        root = ElementTree.fromstring(text)
        tags = {element.tag.removeprefix(SVG) for element in root.iter()}
        assert tags <= {"svg", "text", "path", "rect", "title"}
        assert not {name for element in root.iter() for name in element.attrib if name.startswith("on") or name == "style"}
        assert "<script" not in text
        assert (root.get("role"), root.get("aria-label") is not None) == ((None, False) if standalone else ("img", True))
        width, height = (float(n) for n in root.attrib["viewBox"].split()[2:])
        for element in root.iter():
            if element.tag.removeprefix(SVG) == "text":
                wide = charts.text_width(element.text or "", float(element.attrib["font-size"]))
                left = float(element.attrib["x"]) - {"middle": wide / 2, "end": wide}.get(element.get("text-anchor", ""), 0.0)
                assert left >= -1, element.text
                assert left + wide <= width + 1, element.text
                assert 0 < float(element.attrib["y"]) <= height


def test_tick_labels_and_words_at_points_do_not_overlap() -> None:
    dots = tuple(Series(Text(f"s{n}"), (Point(1.0 + n / 50, 5.0 + n / 50, label=f"point {n}"),), joined=False) for n in range(12))
    nights = tuple(Text(f"2026-11-{n:02}") for n in range(1, 31))
    trend = Series(Text("night"), tuple(Point(n, 100.0 + n) for n in range(30)))
    for plot in (of("points", *dots), of("lines", trend, x=Axis(WORD, categories=nights))):
        boxes = []
        for element in drawn(plot).iter(SVG + "text"):
            wide = charts.text_width(element.text or "", float(element.attrib["font-size"]))
            left = float(element.attrib["x"]) - {"middle": wide / 2, "end": wide}.get(element.get("text-anchor", ""), 0.0)
            boxes.append((left, float(element.attrib["y"]), left + wide, element.text))
        touching = [
            (a[3], b[3])
            for n, a in enumerate(boxes)
            for b in boxes[n + 1 :]
            if a[0] < b[2] and b[0] < a[2] and abs(a[1] - b[1]) < charts.TICK - 1
        ]
        assert touching == []


def test_a_missing_value_is_a_gap_and_never_zero() -> None:
    whole = Series(Text("s"), tuple(Point(n, 5.0) for n in range(6)))
    holed = replace(whole, points=tuple(Point(n, None if n in (2, 3) else 5.0) for n in range(6)))
    assert len(lines_of(drawn(of("lines", whole)))) == 1
    assert len(lines_of(drawn(of("lines", holed)))) == 2
    bars = of("bars", Series(Text("s"), (Point(0, None), Point(1, 2.0))), x=Axis(WORD, categories=(Text("a"), Text("b"))))
    root = drawn(bars)
    assert len(list(root.iter(SVG + "rect"))) == 1
    assert "— no value" in words(root)


def test_what_has_no_place_on_an_axis_is_left_out() -> None:
    odd = Series(Text("s"), (Point(0.0, 1.0), Point(-1.0, 2.0), Point(10.0, math.nan), Point(100.0, math.inf), Point(1e3, 3.0)))
    root = drawn(of("points", replace(odd, joined=False), x=Axis(WORD, "s", logarithmic=True)))
    titles = [element.text for element in root.iter(SVG + "title")][1:]
    assert len(titles) == 1
    assert "nan" not in ElementTree.tostring(root, encoding="unicode")
    assert "no value" in words(drawn(of("lines", replace(odd, points=()))))
    assert "no value" in words(drawn(of("lines")))


def test_what_was_not_measured_is_hollow_and_says_so() -> None:
    for nature, said in (("measured", "s"), ("declared", "s · Declared by the vendor"), ("simulated", "s · ◇ Simulated device")):
        series = Series(Text("s"), (Point(1, 1.0), Point(2, 2.0)), nature)  # type: ignore[arg-type]  # one of three literals
        root = drawn(of("lines", series))
        fills = {p.get("fill") for p in root.iter(SVG + "path") if "transform" in p.attrib}
        assert fills == {charts.COLOURS[0] if nature == "measured" else "#ffffff"}
        assert said in words(root)
    long = Series(Text("long name " * 30), (Point(1, 1.0),), "declared")
    assert any(each.endswith("… · Declared by the vendor") for each in words(drawn(of("lines", long))))


def test_series_differ_in_more_than_colour() -> None:
    several = [Series(Text(f"s{n}"), (Point(0, float(n)), Point(1, float(n)))) for n in range(7)]
    root = drawn(of("lines", *several))
    shapes = [p.attrib["d"] for p in root.iter(SVG + "path") if "transform" in p.attrib]
    looks = {(p.get("fill"), p.attrib["d"]) for p in root.iter(SVG + "path") if "transform" in p.attrib}
    assert len(set(shapes)) == charts.LOOKS
    assert len(looks) == 7
    dashes = {p.get("stroke-dasharray") for p in root.iter(SVG + "path") if p.get("fill") == "none"}
    assert len(dashes) >= charts.LOOKS


def test_a_level_is_drawn_where_it_is_near_and_named_where_it_is_not() -> None:
    series = Series(Text("s"), (Point(0, 1.0), Point(1, 2.0)))
    near = words(drawn(of("lines", series, levels=(Level(Phrase("document.column.required"), 3.0),))))
    far = words(drawn(of("lines", series, levels=(Level(Phrase("document.column.required"), 3000.0),))))
    assert "Required" in near
    assert "Required: 3 kW (beyond the picture)" in far


def test_values_stand_at_bars_as_in_tables() -> None:
    bars = of(
        "bars", Series(Text("s"), (Point(0, 1406.25, 1394.0, 1418.0),)), y=Axis(WORD, "W"), x=Axis(WORD, categories=(Text("a"),))
    )
    assert "1.406" in words(drawn(bars))
    assert "1,406" not in words(drawn(bars))
    assert any("kW" in each for each in words(drawn(bars)))


def test_steps_change_halfway_and_a_lone_point_has_a_mark() -> None:
    stairs = lines_of(drawn(of("steps", Series(Text("s"), (Point(0, 0.0), Point(10, 5.0))))))
    assert len(re.findall("[ML]", stairs[0])) == 4
    lone = drawn(of("points", Series(Text("s"), (Point(0, 1.0),))))
    assert len([p for p in lone.iter(SVG + "path") if "transform" in p.attrib]) == 2


def test_many_points_make_an_area_and_few_marks() -> None:
    course = Series(Text("s"), tuple(Point(n, 5.0 + n % 7, 4.0, 13.0) for n in range(400)))
    root = drawn(of("steps", course))
    assert len([p for p in root.iter(SVG + "path") if "transform" in p.attrib]) < 12
    assert [p for p in root.iter(SVG + "path") if p.get("fill-opacity") == "0.18"]


def test_more_series_than_colours_still_look_different() -> None:
    series, every = Series(Text("a"), ()), charts.LOOKS**2
    by_place = [look_of(series, n) for n in range(every)]
    assert len(set(by_place)) == every
    assert [look_of(replace(series, look=n), 0) for n in range(every)] == by_place
    assert len(charts.SHAPES) == len(charts.DASHES) == len(charts.COLOURS) == charts.LOOKS
