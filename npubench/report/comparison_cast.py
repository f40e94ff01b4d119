"""Who and what a comparison is of, as the parts of its document name them: subjects, workloads, places, runs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from npubench.analyze.estimate import Estimate
from npubench.report.document import Cell, Column, Grid, Phrase, Text, Titles
from npubench.report.page import Cell as Outcome
from npubench.report.page import ComparisonPage, EnergyCell, EnergyRow, Subject, Table
from npubench.report.page import Row as Work
from npubench.report.run_plots import Drawn

#: What heads the labels of subjects.
WHOM = Phrase("comparison.column.subject")
#: What groups of rows are by.
WORK = Phrase("document.column.workload")
#: Where a title's beginning ends: what a workload is at length stands behind it.
_REST = re.compile(r": | \(")

#: An outcome with where it stands.
Standing = tuple[Table, Work, Outcome]


@dataclass(frozen=True)
class Cast:
    """A comparison with what its parts look up again and again; without a ``baseline`` there is nothing to compare with."""

    page: ComparisonPage

    @property
    def all(self) -> ComparisonPage:
        """Everything that was compared; the page itself where it goes into all of it."""
        return self.page if self.page.whole is None else self.page.whole

    @cached_property
    def subjects(self) -> Mapping[str, Subject]:
        """All subjects by key, those of the page first."""
        return {subject.key: subject for subject in (*self.page.subjects, *self.all.subjects)}

    @property
    def baseline(self) -> str:
        """The key of the subject that ratios are against; empty where there is nobody else."""
        return self.page.baseline if len(self.page.subjects) > 1 and self.page.baseline in self.subjects else ""

    @cached_property
    def titles(self) -> Mapping[str, Titles]:
        """Workloads' titles by name, short where no two begin alike."""
        whole = {row.workload: row.title for table in self.all.tables for row in table.rows}
        whole |= {each.workload: each.title for each in self.page.distributions if each.workload not in whole}
        whole |= {each.workload: each.title for each in self.all.energy if each.workload not in whole}
        starts = {name: {tongue: _beginning(text) for tongue, text in texts.items()} for name, texts in whole.items()}
        alike = Counter((tongue, text) for texts in starts.values() for tongue, text in texts.items())
        return {
            name: Titles(starts[name] if all(alike[each] == 1 for each in starts[name].items()) else texts, name)
            for name, texts in whole.items()
        }

    def title(self, workload: str) -> Titles:
        """Return a workload's title, or its name where there is none."""
        return self.titles.get(workload, Titles({}, workload))

    @cached_property
    def about(self) -> Mapping[str, Titles]:
        """What the titles leave out, with the task that a workload stands for; empty texts where that is nothing."""
        found = {}
        for row in (row for table in self.page.tables for row in table.rows):
            short, tongues = self.title(row.workload).texts, dict.fromkeys((*row.title, *row.task))
            rests = {tongue: _rest(row.title.get(tongue, ""), short.get(tongue, "")) for tongue in tongues}
            found[row.workload] = Titles(
                {tongue: " — ".join(filter(None, (rests[tongue], row.task.get(tongue, "")))) for tongue in tongues}
            )
        return found

    def powered(self) -> list[str]:
        """Return the scenarios that something is said of energy of, in the order of their tables."""
        named = dict.fromkeys(row.scenario for row in self.page.energy)
        order = [table.scenario for table in self.page.tables]
        return sorted(named, key=lambda scenario: order.index(scenario) if scenario in order else len(order))

    @cached_property
    def runs(self) -> Mapping[tuple[str, str, str], tuple[str, ...]]:
        """Runs by scenario, workload and subject."""
        return {(t.scenario, r.workload, c.subject): runs_of(c.run_id) for t, r, c in self.all_outcomes}

    @cached_property
    def outcomes(self) -> Sequence[Standing]:
        """Every outcome that the page goes into."""
        return [(table, row, cell) for table, row in self.places() for cell in row.cells]

    @cached_property
    def all_outcomes(self) -> Sequence[Standing]:
        """Every outcome there is."""
        return [(table, row, cell) for table in self.all.tables for row in table.rows for cell in row.cells]

    def places(self) -> Iterator[tuple[Table, Work]]:
        """Yield every workload in every scenario."""
        for table in self.page.tables:
            for row in table.rows:
                yield table, row

    def cells(self, key: str) -> Sequence[Standing]:
        """Return the outcomes of a subject that the page goes into."""
        return self._by_subject.get(key, [])

    def all_cells(self, key: str) -> Sequence[Standing]:
        """Return all outcomes of a subject."""
        return self._all_by_subject.get(key, [])

    @cached_property
    def _by_subject(self) -> Mapping[str, Sequence[Standing]]:
        return _by_subject(self.outcomes)

    @cached_property
    def _all_by_subject(self) -> Mapping[str, Sequence[Standing]]:
        return _by_subject(self.all_outcomes)

    @cached_property
    def energy(self) -> Mapping[str, Sequence[tuple[EnergyRow, EnergyCell]]]:
        """All that is known of energy, by subject."""
        found: dict[str, list[tuple[EnergyRow, EnergyCell]]] = {}
        for row in self.all.energy:
            for cell in row.cells:
                found.setdefault(cell.subject, []).append((row, cell))
        return found

    @cached_property
    def all_places(self) -> int:
        """How many places there are."""
        return sum(len(table.rows) for table in self.all.tables)

    def others(self) -> list[Subject]:
        """Return the subjects that stand beside the baseline."""
        return [subject for subject in self.page.subjects if subject.key != self.baseline]

    def name(self, key: str, runs: tuple[str, ...] = ()) -> Cell:
        """Return a subject as it heads a row: its label, and whether it is the baseline or no hardware."""
        subject = self.subjects[key]
        mark = "document.simulated" if subject.simulated else "comparison.baseline" if key == self.baseline else ""
        return Cell(Text(subject.label), runs, Phrase(mark) if mark else None)

    def column(self, key: str) -> Column:
        """Return a subject as it heads a column of figures."""
        subject = self.subjects[key]
        mark = "simulated" if subject.simulated else "baseline" if key == self.baseline else ""
        return Column(Phrase(f"comparison.column.{mark}", {"label": subject.label}) if mark else Text(subject.label), True)

    def drawn(self, key: str, runs: tuple[str, ...]) -> Drawn:
        """Return a subject as plots draw it."""
        subject = self.subjects[key]
        return Drawn(subject.label, runs, "simulated" if subject.simulated else "measured", self.look(key))

    def look(self, key: str) -> int:
        """Return the number of a subject's look."""
        return self._looks[key]

    @cached_property
    def _looks(self) -> Mapping[str, int]:
        return {key: n for n, key in enumerate(self.subjects)}

    def work(self, workload: str) -> Cell:
        """Return a workload as it heads a group of rows."""
        return Cell(self.title(workload))

    def where(self, workload: str, scenario: str) -> dict[str, str | Titles]:
        """Return a place as captions name it."""
        return {"workload": self.title(workload), "scenario": scenario}

    def place(self, workload: str, scenario: str) -> Phrase:
        """Return a place as a heading."""
        return Phrase("comparison.place", self.where(workload, scenario))


def _by_subject(outcomes: Sequence[Standing]) -> dict[str, list[Standing]]:
    found: dict[str, list[Standing]] = {}
    for outcome in outcomes:
        found.setdefault(outcome[2].subject, []).append(outcome)
    return found


def runs_of(text: str) -> tuple[str, ...]:
    """Return the runs that a cell's ``run_id`` names: one, or its repeats."""
    return tuple(text.split(", ")) if text else ()


def narrowed(grid: Grid) -> Grid:
    """Return a table without the columns that have nothing in them; the one that heads the rows stays."""
    kept = [n for n in range(len(grid.columns) - 1) if any(row.cells[n].content is not None for row in grid.rows)]
    columns = (grid.columns[0], *(grid.columns[n + 1] for n in kept))
    return replace(grid, columns=columns, rows=tuple(replace(row, cells=tuple(row.cells[n] for n in kept)) for row in grid.rows))


def named(kind: str, word: str) -> Phrase:
    """Return what an id of a vocabulary is called; one that the catalogue does not know stands for itself."""
    return Phrase(f"comparison.word.{kind}", {"word": word})


def _beginning(title: str) -> str:
    return _REST.split(title, maxsplit=1)[0]


def _rest(title: str, start: str) -> str:
    """Return what stands behind a title's beginning, without the sign between them."""
    rest = title[len(start) :].removeprefix(":").strip()
    return rest[1:-1] if rest.startswith("(") and rest.endswith(")") and rest.count("(") == 1 else rest


def known(estimate: Estimate | None) -> bool:
    """Tell whether there is a value."""
    return estimate is not None and estimate.value is not None
