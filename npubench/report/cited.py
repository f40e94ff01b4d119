"""Which runs a document names: a document lists those and no other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from npubench.report.document import Block, Cell, Facts, Grid, Plot, Section


def cited(sections: Iterable[Section]) -> frozenset[str]:
    """Return the ids of all runs that some cell stands on."""
    return frozenset(run for cell in _cells(sections) for run in cell.runs)


def _cells(sections: Iterable[Section]) -> Iterator[Cell]:
    for section in sections:
        for block in section.blocks:
            yield from _of(block)
        yield from _cells(section.sections)


def _of(block: Block) -> Iterator[Cell]:
    if isinstance(block, Plot):
        yield from _of(block.table)
    elif isinstance(block, Grid):
        for row in block.rows:
            yield row.heading
            yield from row.cells
    elif isinstance(block, Facts):
        for fact in block.facts:
            yield fact.cell
