"""Row headings of a PDF's tables: typst tags the first cell of a row as data, and readers that speak need it as a heading.

Typst knows no cell that heads its row outside of a feature which its Python package cannot switch on. Its files have one plain
table of offsets (ISO 32000-1, 7.5.4) and no packed objects, so that some objects can be exchanged and the offsets written anew.
A file that is laid out otherwise is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

#: The end of a file: where its table of offsets begins.
_END = re.compile(rb"startxref\s+(\d+)\s+%%EOF\s*\Z")
_TABLE = re.compile(rb"xref\s+0 (\d+)\s+")
#: A line of the table: offset, generation, in use or free; always 20 bytes.
_LINE = 20
_ELEMENT = re.compile(rb"\d+ 0 obj\s*<</Type/StructElem/S/(TR|TD)\b")
_KIDS = re.compile(rb"/K\[((?:\d+ 0 R ?)+)\]")
_NUMBER = re.compile(rb"(\d+) 0 R")
#: Which cells head a cell, by name. Rows and columns say so by their scope instead (ISO 14289-1, 7.5).
_HEADERS = re.compile(rb"<</O/Table/Headers\[[^\]]*\]>>")
_ROW = b"<</O/Table/Scope/Row>>"


class _File(NamedTuple):
    """A file taken apart: what stands before its objects, every object by its number, and what follows the table."""

    head: bytes
    objects: Mapping[int, bytes]
    free: bytes
    trailer: bytes


def with_row_headings(content: bytes) -> bytes:
    """Return a PDF of typst's in which the first cell of every row of data is its row's heading (TH, scope Row).

    Rows in a table's head stay as they are, and so does a row of one cell that spans all columns.
    """
    taken = _taken_apart(content)
    if taken is None:
        return content
    kinds = {n: found.group(1) for n, each in taken.objects.items() if (found := _ELEMENT.match(each))}
    changed: dict[int, bytes] = {}
    for number, kind in kinds.items():
        kids = _KIDS.search(taken.objects[number]) if kind == b"TR" else None
        cells = [int(each) for each in _NUMBER.findall(kids.group(1))] if kids else []
        if len(cells) < 2 or any(kinds.get(cell) != b"TD" for cell in cells):
            continue
        first, *others = cells
        heading = taken.objects[first].replace(b"/S/TD", b"/S/TH", 1)
        changed[first] = _HEADERS.sub(b"", heading, count=1).replace(b"/A[", b"/A[" + _ROW, 1)
        changed |= {cell: _HEADERS.sub(b"", taken.objects[cell], count=1) for cell in others}
    if any(_ROW not in each and b"/S/TH" in each for each in changed.values()):
        return content
    return _put_together(taken, {**taken.objects, **changed})


def _taken_apart(content: bytes) -> _File | None:
    """Return a file's parts, or None where it is not laid out as expected."""
    end = _END.search(content, max(len(content) - 64, 0))
    table = _TABLE.match(content, int(end.group(1))) if end else None
    if end is None or table is None:
        return None
    start, count = int(end.group(1)), int(table.group(1))
    lines = [content[at : at + _LINE] for at in range(table.end(), table.end() + count * _LINE, _LINE)]
    after = table.end() + count * _LINE
    places = sorted((int(line[:10]), n) for n, line in enumerate(lines) if line[17:18] == b"n")
    if not places or content[after : after + 7] != b"trailer":
        return None
    ends = [*(at for at, _ in places[1:]), start]
    objects = {n: content[at:until] for (at, n), until in zip(places, ends, strict=True)}
    if len(objects) != count - 1 or any(not each.startswith(b"%d 0 obj" % n) for n, each in objects.items()):
        return None
    return _File(content[: places[0][0]], objects, lines[0], content[after : end.start()])


def _put_together(taken: _File, objects: Mapping[int, bytes]) -> bytes:
    """Return the file with these objects, in the order they stood in, and a table of where they are now."""
    at, places = len(taken.head), {}
    for number, each in objects.items():
        places[number] = at
        at += len(each)
    lines = b"".join(b"%010d 00000 n\r\n" % places[n] for n in sorted(places))
    table = b"xref\n0 %d\n" % (len(places) + 1) + taken.free + lines
    return b"".join([taken.head, *objects.values(), table, taken.trailer, b"startxref\n%d\n%%%%EOF" % at])
