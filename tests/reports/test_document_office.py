"""A workbook in an office suite: LibreOffice opens it without repairing anything, and every sheet and native chart is there.

Skipped where LibreOffice is not installed (``.ci/checkers`` installs it).
"""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import openpyxl
import pytest

from npubench.report.document import Document
from npubench_reports import document_xlsx

SOFFICE = shutil.which("soffice")
#: OpenDocument 1.3, names of elements.
TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"

pytestmark = pytest.mark.skipif(SOFFICE is None, reason="no LibreOffice")


def opened(books: Mapping[str, bytes], folder: Path) -> tuple[int, str, dict[str, Path]]:
    """Let LibreOffice open workbooks and write them as OpenDocument; returns its exit code, what it said, and its files."""
    for name, content in books.items():
        (folder / f"{name}.xlsx").write_bytes(content)
    profile = f"-env:UserInstallation={(folder / 'profile').as_uri()}"
    files = [str(folder / f"{name}.xlsx") for name in books]
    command = [str(SOFFICE), profile, "--headless", "--norestore", "--convert-to", "ods", "--outdir", str(folder), *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    written = {name: folder / f"{name}.ods" for name in books if (folder / f"{name}.ods").is_file()}
    return done.returncode, done.stdout + done.stderr, written


def charts(path: Path) -> dict[str, int]:
    """Return the sheets of an OpenDocument spreadsheet, and how many charts with data each of them holds."""
    with zipfile.ZipFile(path) as archive:
        sheets = ElementTree.fromstring(archive.read("content.xml")).iter(f"{TABLE}table")
        found = {}
        for sheet in sheets:
            objects = [each.get("{http://www.w3.org/1999/xlink}href", "") for each in sheet.iter(f"{DRAW}object")]
            contents = [archive.read(f"{place.removeprefix('./')}/content.xml") for place in objects]
            found[str(sheet.get(f"{TABLE}name"))] = sum(b"<chart:series " in content for content in contents)
        return found


def test_every_sheet_and_chart_is_there_again(document: Document, documents: Mapping[str, Document], tmp_path: Path) -> None:
    """One start for every kind of report; a workbook with a torn chart shows that this test can fail."""
    books = {kind: document_xlsx.render(each, language="ko") for kind, each in {"blocks": document, **documents}.items()}
    torn = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(books["blocks"])) as whole, zipfile.ZipFile(torn, "w") as archive:
        for name in whole.namelist():
            content = whole.read(name)
            archive.writestr(name, b"<torn" if name == "xl/charts/chart1.xml" else content)
    code, said, written = opened({**books, "torn": torn.getvalue()}, tmp_path)
    assert code == 0, said
    assert [word for word in ("repair", "recover", "corrupt", "could not be loaded") if word in said.lower()] == []
    for kind, content in books.items():
        book = openpyxl.load_workbook(io.BytesIO(content))
        assert charts(written[kind]) == {sheet.title: len(sheet._charts) for sheet in book.worksheets}, kind
    # Four plots, every one a chart of its own.
    assert sum(charts(written["blocks"]).values()) == 4
    assert "torn" not in written or sum(charts(written["torn"]).values()) < 4
