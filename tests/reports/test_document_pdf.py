"""A document as PDF: archivable, tagged, its font within, and nothing of a record's read as markup."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pypdf
import pytest

from npubench.report.document import Cell, Document, Fact, Phrase, Text
from npubench_reports import document_pdf
from npubench_reports.pdf_headings import with_row_headings

LANGUAGES = ("ko", "en")


@pytest.fixture(scope="module")
def made(document: Document) -> dict[str, bytes]:
    return {language: document_pdf.render(document, language=language) for language in LANGUAGES}


def read(content: bytes) -> pypdf.PdfReader:
    return pypdf.PdfReader(io.BytesIO(content))


def text_of(content: bytes) -> str:
    return "\n".join(page.extract_text() for page in read(content).pages)


def elements(node: Any) -> Iterator[Any]:
    """Yield every structure element below a node."""
    node = node.get_object()
    if isinstance(node, list):
        for each in node:
            yield from elements(each)
    elif isinstance(node, dict):
        if "/S" in node:
            yield node
        if "/K" in node:
            yield from elements(node["/K"])


def fonts(resources: Any) -> Iterator[Any]:
    """Yield the fonts of a page and of the pictures on it."""
    resources = resources.get_object()
    if "/Font" in resources:
        yield from (font.get_object() for font in resources["/Font"].get_object().values())
    for part in resources["/XObject"].get_object().values() if "/XObject" in resources else ():
        if "/Resources" in part.get_object():
            yield from fonts(part.get_object()["/Resources"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_says_that_it_is_archivable_and_accessible(made: dict[str, bytes], language: str) -> None:
    reader = read(made[language])
    root: Any = reader.trailer["/Root"]
    about = root["/Metadata"].get_object().get_data().decode("utf-8")
    assert re.findall(r"<(pdfaid:part|pdfaid:conformance|pdfuaid:part)>(\w+)<", about) == [
        ("pdfaid:part", "2"),
        ("pdfaid:conformance", "A"),
        ("pdfuaid:part", "1"),
    ]
    assert root["/Lang"] == language
    assert root["/MarkInfo"]["/Marked"]
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]
    assert reader.metadata is not None
    assert reader.metadata.title is not None
    assert "한글" in reader.metadata.title
    assert len(reader.outline) >= 3


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_is_tagged(made: dict[str, bytes], language: str) -> None:
    found = list(elements(read(made[language]).trailer["/Root"]["/StructTreeRoot"]))  # type: ignore[index]
    kinds = {str(each["/S"]) for each in found}
    assert {"/Title", "/H1", "/H2", "/P", "/Table", "/TR", "/TH", "/TD", "/Caption", "/Figure", "/Link", "/L"} <= kinds
    figures = [each for each in found if each["/S"] == "/Figure"]
    assert len(figures) == 4
    assert all(each.get("/Alt") for each in figures)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_font_is_within(made: dict[str, bytes], language: str) -> None:
    seen = 0
    for page in read(made[language]).pages:
        for font in fonts(page["/Resources"]):
            assert "NotoSansKR" in font["/BaseFont"]
            descriptor = font["/DescendantFonts"][0].get_object()["/FontDescriptor"].get_object()
            assert {"/FontFile2", "/FontFile3"} & set(descriptor)
            assert "/ToUnicode" in font
            seen += 1
    assert seen


@pytest.mark.parametrize(("language", "words"), [("ko", ("모의", "실행 기록")), ("en", ("SIMULATED", "Runs"))])
def test_its_text_can_be_found(made: dict[str, bytes], language: str, words: tuple[str, ...]) -> None:
    text = text_of(made[language])
    assert [word for word in words if word not in text] == []
    assert "1.406" in text
    assert "\u2060" not in text
    assert "run-00001" in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_banners_and_numbers_stand_on_every_page(made: dict[str, bytes], language: str) -> None:
    pages = read(made[language]).pages
    for n, page in enumerate(pages, start=1):
        text = page.extract_text()
        assert "SIMULATED" in text
        assert f"{n} / {len(pages)}" in text


MARKUP = [
    "#panic()",
    '#import "x": *',
    "$x^2$ *bold* _it_ `raw` <label> @ref // comment /* x */ \\u{41}",
    "= Heading",
    '"); #sys.inputs',
    "<script>&amp;",
    "a" * 4000,
    "글" * 4000,
    "😀\x00\ud800\u202e\ufffe\U000f0000",
    "a\nb\tc\r\n\u2028d",
    "",
]


@pytest.mark.parametrize("words", MARKUP)
def test_a_records_words_are_text_and_never_end_it(document: Document, words: str) -> None:
    small = replace(
        document, sections=(), runs=(), subject=words, facts=(Fact(Phrase("document.fact.subject"), Cell(Text(words))),)
    )
    small = replace(small, title=Phrase("document.title.procurement", {"subject": words}), banners=(Phrase("x", {}),))
    text = re.sub(r"[\s\u200b]", "", text_of(document_pdf.render(small)))
    if words.isprintable():
        assert re.sub(r"\s", "", words) in text
    if "😀" in words:
        assert document_pdf.REPLACEMENT in text


def test_the_same_document_is_the_same_file(document: Document, made: dict[str, bytes]) -> None:
    assert document_pdf.render(document, language="ko") == made["ko"]


def test_a_long_table_goes_over_pages_under_its_headings(make_document: Callable[..., Document]) -> None:
    pages = [page.extract_text() for page in read(document_pdf.render(make_document(runs=200), language="en")).pages]
    listing = [text for text in pages if re.search(r"run-00(0[1-9]|1)\d", text)]
    assert len(listing) > 2
    assert all("Digest" in text or "digest" in text for text in listing)
    assert {f"run-{n:05}" for n in range(1, 201)} <= set(re.findall(r"run-\d{5}", "".join(listing)))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_row_of_a_table_has_its_heading(made: dict[str, bytes], language: str) -> None:
    found = list(elements(read(made[language]).trailer["/Root"]["/StructTreeRoot"]))  # type: ignore[index]
    rows = [[kid.get_object() for kid in each["/K"]] for each in found if each["/S"] == "/TR"]
    data = [row for row in rows if len(row) > 1 and any(cell["/S"] == "/TD" for cell in row)]
    assert len(data) > 20
    assert {tuple(str(cell["/S"]) for cell in row[:2]) for row in data} == {("/TH", "/TD")}
    scopes = {
        str(part.get_object().get("/Scope")) for row in data for part in row[0]["/A"] if part.get_object()["/O"] == "/Table"
    }
    assert scopes == {"/Row"}
    columns = [cell for row in rows for cell in row if cell["/S"] == "/TH" and row not in data]
    assert columns
    assert all(cell["/A"][0]["/Scope"] == "/Column" for cell in columns)


def test_a_file_that_is_laid_out_otherwise_is_left_alone(made: dict[str, bytes]) -> None:
    packed = made["en"].replace(b"\nxref\n0 ", b"\nxrex\n0 ")
    for content in (b"", b"%PDF-1.7", packed, made["en"][:-200], b"x" + made["en"]):
        assert with_row_headings(content) == content


def test_thousands_of_runs_are_listed_as_numbered_lines(
    make_document: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document_pdf, "LONG", 50)
    content = document_pdf.render(make_document(runs=120), language="en")
    text = text_of(content)
    assert {f"run-{n:05}" for n in range(1, 121)} <= set(re.findall(r"run-\d{5}", text))
    found = list(elements(read(content).trailer["/Root"]["/StructTreeRoot"]))  # type: ignore[index]
    assert sum(each["/S"] == "/LI" for each in found) >= 120
    assert "Record digest" in text
    assert re.search(r"120\s+run-00120", text)
