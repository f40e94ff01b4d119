"""A document's plots as native charts of a workbook, which a reader can go on with; their data stand on a sheet of their own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from xlsxwriter.workbook import Workbook  # type: ignore[import-untyped]
from xlsxwriter.worksheet import Worksheet  # type: ignore[import-untyped]

from npubench.report.document import Axis, Level, Plot, Point, Series
from npubench_reports import numbers
from npubench_reports.charts import COLOURS, FAR
from npubench_reports.messages import Messages
from npubench_reports.spoken import phrase
from npubench_reports.unseen import UNSEEN

#: Dashes and markers beside the colours, so that series are told apart in grey as well.
DASHES = ("solid", "dash", "square_dot", "dash_dot", "long_dash", "round_dot")
MARKERS = ("circle", "square", "triangle", "diamond", "x", "plus")
#: Size of a chart in pixels.
WIDTH, HEIGHT = 760, 400
_ALARM = "#9B1C1C"


class Charts:
    """The charts of one workbook, and the sheet that their data is on. Call ``close`` after the last."""

    def __init__(self, book: Workbook, name: str, messages: Messages) -> None:
        self._book, self._name, self._messages = book, name, messages
        self._sheet: Worksheet | None = None
        self._head = book.add_format({"bold": True})
        self._row = 0

    def add(self, sheet: Worksheet, plot: Plot, row: int) -> None:
        """Draw ``plot`` on ``sheet`` from ``row`` down."""
        bars, named = plot.form == "bars", bool(plot.x.categories)
        points = [point for series in plot.series for point in series.points]
        shown = [level for level in plot.levels if _near(level, plot, points)]
        levels = [level.at for level in shown if level.across]
        y = numbers.scale_for([*(v for p in points for v in (p.y, p.low, p.high) if _finite(v)), *levels], plot.y.unit)
        x = numbers.Scale(1.0, "") if named else numbers.scale_for([p.x for p in points if _finite(p.x)], plot.x.unit)
        kind = "bar" if bars else "line" if named else "scatter"
        straight = {"subtype": "straight_with_markers"} if kind == "scatter" else {}
        chart = self._book.add_chart({"type": kind, **straight})
        head = self._begin(plot, x, y)
        for n, series in enumerate(plot.series):
            chart.add_series(self._series(plot, series, n, x, y))
        # A level is a line of two points, which only a field of two scales has.
        if kind == "scatter":
            for level in shown:
                chart.add_series(self._level(level.at, level.across, str(phrase(level.label, self._messages)), (points, x, y)))
        chart.set_title({"name": [self._name, head, 0], "name_font": {"size": 11}})
        across, up = self._axis(plot.x, x, points, across=True), self._axis(plot.y, y, points, across=False)
        if bars:
            # Lying bars: the categories go down the side, the first on top, and the scale stays at the foot.
            across |= {"reverse": True}
            chart.set_y_axis(across)
            chart.set_x_axis(up | {"label_position": "high"})
        else:
            chart.set_x_axis(across)
            chart.set_y_axis(up)
        chart.show_blanks_as("gap")
        chart.set_legend({"position": "bottom"})
        chart.set_size({"width": WIDTH, "height": HEIGHT + (18 * len(plot.x.categories) if bars else 0)})
        words = _clean(str(phrase(plot.alt, self._messages)))
        sheet.insert_chart(row, 0, chart, {"description": words, "object_position": 3})

    def close(self) -> None:
        """Finish the sheet of data."""
        if self._sheet is not None:
            self._sheet.set_column(0, 4, 22)

    def _begin(self, plot: Plot, x: numbers.Scale, y: numbers.Scale) -> int:
        """Write the head of a plot's data, and return its row."""
        if self._sheet is None:
            self._sheet = self._book.add_worksheet(self._name)
        messages = self._messages
        caption = _clean(str(phrase(plot.caption, messages)))
        self._sheet.write_string(self._row, 0, caption, self._head)
        titles = [messages("document.column.series"), self._title(plot.x, x), self._title(plot.y, y)]
        for n, text in enumerate([*titles, messages("document.column.low"), messages("document.column.high")]):
            self._sheet.write_string(self._row + 1, n, _clean(text), self._head)
        self._row += 2
        return self._row - 2

    def _series(self, plot: Plot, series: Series, n: int, x: numbers.Scale, y: numbers.Scale) -> dict[str, Any]:
        """Write a series' data, and return how it is drawn."""
        label = str(phrase(series.label, self._messages))
        if series.nature != "measured":
            label += f" ({self._messages(f'document.{series.nature}')})"
        places = [str(phrase(each, self._messages)) for each in plot.x.categories]
        points = list(series.points)
        if places:
            # A category axis counts its places; one without a point is a gap.
            by_place = {int(p.x): p for p in points if _finite(p.x)}
            points = [by_place.get(k, Point(float(k), None)) for k in range(len(places))]
        if not points:
            points = [Point(math.nan, None)]
        rows = [self._point(label, p, places, (plot, x, y)) for p in points]
        first, last = rows[0], rows[-1]
        n = n if series.look is None else series.look
        hollow, colour = series.nature != "measured", COLOURS[n % len(COLOURS)]
        joined = series.joined and plot.form != "bars"
        dash = "round_dot" if hollow else DASHES[n % len(DASHES)]
        marker = {"type": MARKERS[n % len(MARKERS)], "size": 6, "border": {"color": colour}}
        marker["fill"] = {"none": True} if hollow else {"color": colour}
        drawn: dict[str, Any] = {
            # A name given as text would be a formula where it begins with "=": the cell is named instead.
            "name": [self._name, first, 0],
            "categories": [self._name, first, 1, last, 1],
            "values": [self._name, first, 2, last, 2],
        }
        if plot.form == "bars":
            drawn["fill"] = {"none": True} if hollow else {"color": colour}
            drawn["border"] = {"color": colour, "dash_type": "dash" if hollow else "solid"}
        else:
            drawn["line"] = {"color": colour, "width": 1.75, "dash_type": dash} if joined else {"none": True}
            drawn["marker"] = marker if len(points) <= 40 else {"type": "none"}
        if any(_finite(p.low) and _finite(p.high) for p in points) and len(points) <= 40:
            drawn["x_error_bars" if plot.form == "bars" else "y_error_bars"] = self._errors(points, y)
        return drawn

    def _errors(self, points: Sequence[Point], y: numbers.Scale) -> dict[str, Any]:
        def reach(end: float | None, middle: float | None) -> float:
            return (
                abs(end - middle) / y.factor
                if _finite(end) and _finite(middle) and end is not None and middle is not None
                else 0.0
            )

        plus, minus = [reach(p.high, p.y) for p in points], [reach(p.low, p.y) for p in points]
        return {"type": "custom", "plus_values": plus, "minus_values": minus, "line": {"color": "#16202B"}}

    def _point(self, label: str, point: Point, places: Sequence[str], drawn: tuple[Plot, numbers.Scale, numbers.Scale]) -> int:
        """Write a point's line, and return its row; a value that has no place on its axis is a gap."""
        plot, x, y = drawn
        assert self._sheet is not None, "its head is written"
        row, self._row = self._row, self._row + 1
        self._sheet.write_string(row, 0, _clean(label))
        if places:
            self._sheet.write_string(row, 1, _clean(places[int(point.x)]))
        elif _finite(point.x) and (point.x > 0 or not plot.x.logarithmic):
            self._sheet.write_number(row, 1, point.x / x.factor)
        for n, value in enumerate((point.y, point.low, point.high), start=2):
            if _finite(value) and value is not None and (value > 0 or not plot.y.logarithmic):
                self._sheet.write_number(row, n, value / y.factor)
        return row

    def _level(
        self, at: float, across: bool, label: str, field: tuple[Sequence[Point], numbers.Scale, numbers.Scale]
    ) -> dict[str, Any]:
        """Write a named line's two ends, and return how it is drawn."""
        points, x, y = field
        assert self._sheet is not None, "its head is written"
        if across:
            ends = _ends(p.x for p in points)
            places = [(ends[0] / x.factor, at / y.factor), (ends[1] / x.factor, at / y.factor)]
        else:
            ends = _ends(p.y for p in points)
            places = [(at / x.factor, ends[0] / y.factor), (at / x.factor, ends[1] / y.factor)]
        first = self._row
        for place in places:
            self._sheet.write_string(self._row, 0, _clean(label))
            for n, value in enumerate(place, start=1):
                self._sheet.write_number(self._row, n, value)
            self._row += 1
        return {
            "name": [self._name, first, 0],
            "categories": [self._name, first, 1, first + 1, 1],
            "values": [self._name, first, 2, first + 1, 2],
            "line": {"color": _ALARM, "width": 1.5, "dash_type": "dash"},
            "marker": {"type": "none"},
        }

    def _axis(self, axis: Axis, scale: numbers.Scale, points: Sequence[Point], *, across: bool) -> dict[str, Any]:
        """Return how an axis is drawn; its numbers stand at the edge of the field."""
        made: dict[str, Any] = {"name": _clean(self._title(axis, scale)).lstrip("=")[:255], "label_position": "low"}
        if axis.categories:
            return made
        made["major_gridlines"] = {"visible": True, "line": {"color": "#C3CCD4", "width": 0.5}}
        if axis.logarithmic:
            known = [
                v for p in points for v in ((p.x,) if across else (p.y, p.low, p.high)) if v is not None and _finite(v) and v > 0
            ]
            low, high = (min(known) / scale.factor, max(known) / scale.factor) if known else (1.0, 10.0)
            least = 10.0 ** math.floor(math.log10(low))
            made |= {"log_base": 10, "min": least, "max": max(10.0 ** math.ceil(math.log10(high)), 10 * least)}
            made |= {"crossing": least}
        elif axis.from_zero:
            made["min"] = 0
        return made

    def _title(self, axis: Axis, scale: numbers.Scale) -> str:
        label = str(phrase(axis.label, self._messages))
        unit = self._messages.name("unit", scale.unit) if scale.unit else ""
        return f"{label} ({unit})" if unit else label


def _near(level: Level, plot: Plot, points: Sequence[Point]) -> bool:
    """Tell whether a level is near enough to the points to be drawn; on a linear axis one far beyond would flatten them."""
    axis = plot.y if level.across else plot.x
    known = [v for p in points for v in ((p.y, p.high) if level.across else (p.x,)) if v is not None and math.isfinite(v)]
    return axis.logarithmic or not known or level.at <= FAR * max(known)


def _clean(text: str) -> str:
    return UNSEEN.sub("\ufffd", text)[:32_767]


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _ends(values: Iterable[float | None]) -> tuple[float, float]:
    """Return the least and the greatest of the values there are."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return (min(known), max(known)) if known else (0.0, 1.0)
