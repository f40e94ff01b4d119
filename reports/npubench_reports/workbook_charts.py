"""A document's plots as native charts of a workbook, which a reader can go on with; their data stand on a sheet of their own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xlsxwriter.workbook import Workbook  # type: ignore[import-untyped]
from xlsxwriter.worksheet import Worksheet  # type: ignore[import-untyped]

from npubench.report.document import Axis, Level, Plot, Point, Series, Stretch
from npubench_reports import numbers
from npubench_reports.charts import COLOURS, FAR
from npubench_reports.messages import Messages
from npubench_reports.spoken import phrase
from npubench_reports.svg_marks import stairs
from npubench_reports.unseen import UNSEEN

#: Dashes and markers beside the colours, so that series are told apart in grey as well.
DASHES = ("solid", "dash", "square_dot", "dash_dot", "long_dash", "round_dot")
MARKERS = ("circle", "square", "triangle", "diamond", "x", "plus")
#: Size of a chart in pixels.
WIDTH, HEIGHT = 760, 400
#: Series of more points than this have no markers, no whiskers and no words beside their points.
FEW = 40
#: Height of a sheet's row in pixels.
ROW = 20
#: Where the band of phases is drawn, by the greatest value, and which share of it a phase has to take for its name to fit in.
ABOVE, NARROW = 1.08, 0.08
_ALARM, _SOFT = "#9B1C1C", "#4B5864"
_BANDS = ("#9AA7B3", "#C3CCD4", "#6D7C8A")


class Charts:
    """The charts of one workbook, and the sheet that their data is on. Call ``close`` after the last."""

    def __init__(self, book: Workbook, name: str, messages: Messages) -> None:
        self._book, self._name, self._messages = book, name, messages
        self._sheet: Worksheet | None = None
        self._head = book.add_format({"bold": True})
        self._row = 0

    def add(self, sheet: Worksheet, plot: Plot, row: int) -> None:
        """Draw ``plot`` on ``sheet`` from ``row`` down."""
        bars, kind = plot.form == "bars", kind_of_field(plot)
        points = [point for series in plot.series for point in series.points]
        shown = [level for level in plot.levels if _near(level, plot, points)]
        levels = [level.at for level in shown if level.across]
        y = numbers.scale_for([*(v for p in points for v in (p.y, p.low, p.high) if _finite(v)), *levels], plot.y.unit)
        x = numbers.Scale(1.0, "") if plot.x.categories else numbers.scale_for([p.x for p in points if _finite(p.x)], plot.x.unit)
        straight = {"subtype": "straight_with_markers"} if kind == "scatter" else {}
        chart = self._book.add_chart({"type": kind, **straight})
        head = self._begin(plot, x, y)
        drawn = [self._series(plot, series, n, x, y) for n, series in enumerate(plot.series)]
        told: list[int] = []
        for n, series in enumerate(plot.series):
            line = self._stairs(plot, series, n, (x, y))
            if line is not None:
                # The legend tells the line; its points, which have markers where they are few, are the same series.
                drawn.append(line | {"name": drawn[n]["name"]})
                told.append(n)
        for each in drawn:
            chart.add_series(each)
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
        if kind == "scatter":
            for each in self._bands(plot.stretches, (points, x, y)):
                chart.add_series(each)
        chart.set_legend({"position": "bottom", "delete_series": told})
        height = HEIGHT + (18 * len(plot.x.categories) if bars else 0)
        chart.set_size({"width": WIDTH, "height": height})
        for n, note in enumerate(() if kind == "scatter" else self._notes(plot, shown, y)):
            sheet.write_string(row + math.ceil(height / ROW) + 1 + n, 0, _clean(note))
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
            drawn["marker"] = marker if len(points) <= FEW else {"type": "none"}
        if any(_finite(p.low) and _finite(p.high) for p in points) and len(points) <= FEW:
            drawn["x_error_bars" if plot.form == "bars" else "y_error_bars"] = self._errors(points, y)
        if plot.form == "points" and len(points) <= FEW and any(point.label for point in points):
            drawn["data_labels"] = _words([point.label if _finite(point.y) else "" for point in points], "right")
        if plot.form == "steps" and kind_of_field(plot) == "scatter" and joined:
            drawn["line"] = {"none": True}
        return drawn

    def _stairs(self, plot: Plot, series: Series, n: int, scales: tuple[numbers.Scale, numbers.Scale]) -> dict[str, Any] | None:
        """Write the corners of a step function, which no chart has of its own; return how its line is drawn, None for no line."""
        if plot.form != "steps" or kind_of_field(plot) != "scatter" or not series.joined:
            return None
        assert self._sheet is not None, "its head is written"
        (x, y), first = scales, self._row
        label = f"{phrase(series.label, self._messages)} ({self._messages('render.sheet.steps')})"
        known: list[tuple[float, float]] = []
        for point in (*series.points, Point(math.nan, None)):
            if point.y is not None and math.isfinite(point.y) and math.isfinite(point.x):
                known.append((point.x / x.factor, point.y / y.factor))
                continue
            # Beyond a gap the line begins anew; an empty row is one in a chart as well.
            for place in stairs(known) if known else ():
                self._row_of(label, place)
            self._row += bool(known)
            known = []
        if self._row == first:
            return None
        hollow, colour = series.nature != "measured", COLOURS[n % len(COLOURS)]
        dash = "round_dot" if hollow else DASHES[n % len(DASHES)]
        return self._line((first, self._row - 2), {"color": colour, "width": 1.75, "dash_type": dash})

    def _bands(
        self, stretches: Sequence[Stretch], field: tuple[Sequence[Point], numbers.Scale, numbers.Scale]
    ) -> Iterable[dict[str, Any]]:
        """Write phases as a band above the points, and yield how each is drawn: the same phase is the same series."""
        points, x, y = field
        top = ABOVE * _ends(v for p in points for v in (p.y, p.high))[1] / y.factor
        whole = max((s.end for s in stretches), default=0.0) - min((s.start for s in stretches), default=0.0)
        named: dict[str, list[Stretch]] = {}
        for stretch in stretches:
            named.setdefault(str(phrase(stretch.label, self._messages)), []).append(stretch)
        for n, (name, several) in enumerate(named.items()):
            first, labels = self._row, []
            for stretch in several:
                for at in (stretch.start, (stretch.start + stretch.end) / 2, stretch.end):
                    self._row_of(name, (at / x.factor, top))
                labels += ["", name if stretch.end - stretch.start >= NARROW * whole else "", "", ""]
                self._row += 1
            drawn = self._line((first, self._row - 2), {"color": _BANDS[n % len(_BANDS)], "width": 5})
            yield drawn | {"data_labels": _words(labels[:-1], "above")}

    def _row_of(self, label: str, place: tuple[float, float]) -> None:
        """Write one line of data: whose it is, and its place."""
        assert self._sheet is not None, "its head is written"
        self._sheet.write_string(self._row, 0, _clean(label))
        for n, value in enumerate(place, start=1):
            self._sheet.write_number(self._row, n, value)
        self._row += 1

    def _line(self, rows: tuple[int, int], line: Mapping[str, Any]) -> dict[str, Any]:
        """Return how rows that are written are drawn as a line without markers."""
        first, last = rows
        return {
            "name": [self._name, first, 0],
            "categories": [self._name, first, 1, last, 1],
            "values": [self._name, first, 2, last, 2],
            "line": dict(line),
            "marker": {"type": "none"},
        }

    def _notes(self, plot: Plot, levels: Sequence[Level], y: numbers.Scale) -> Iterable[str]:
        """Yield what a chart with named places cannot draw: levels and stretches, in words below it."""
        unit = self._messages.name("unit", y.unit) if y.unit else ""
        for level in levels:
            value = numbers.number(level.at / y.factor, self._messages.locale)
            yield f"{phrase(level.label, self._messages)}: {value} {unit}".strip()
        places = [str(phrase(each, self._messages)) for each in plot.x.categories]
        for stretch in plot.stretches:
            ends = [places[min(max(round(at), 0), len(places) - 1)] for at in (stretch.start, stretch.end)] if places else []
            yield f"{phrase(stretch.label, self._messages)}: {' – '.join(ends)}"

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
        if across:
            ends = _ends(p.x for p in points)
            places = [(ends[0] / x.factor, at / y.factor), (ends[1] / x.factor, at / y.factor)]
        else:
            ends = _ends(p.y for p in points)
            places = [(at / x.factor, ends[0] / y.factor), (at / x.factor, ends[1] / y.factor)]
        first = self._row
        for place in places:
            self._row_of(label, place)
        return self._line((first, first + 1), {"color": _ALARM, "width": 1.5, "dash_type": "dash"})

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


def kind_of_field(plot: Plot) -> str:
    """Return which of the workbook's kinds of chart a plot becomes: only a scatter has a scale across."""
    return "bar" if plot.form == "bars" else "line" if plot.x.categories else "scatter"


def _words(labels: Sequence[str], position: str) -> dict[str, Any]:
    """Return words beside points; a label that began with "=" would be a formula."""
    own = [{"value": _clean(label).lstrip("=")[:255]} if label.strip("= ") else {"delete": True} for label in labels]
    return {"value": True, "custom": own, "position": position, "font": {"size": 8, "color": _SOFT}}


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
