"""The example reports are what their records make, and their records hold."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from npubench.plan.workload import workload_names
from npubench.record.keys import read_trust
from npubench.record.store import Entry, Store
from npubench.record.verify import verify
from npubench.report.comparison_document import build_comparison
from npubench.report.document import Document
from npubench.report.feedback import build_feedback
from npubench.report.nightly import build_nightly
from npubench.report.operating_cost import read_costs
from npubench.report.procurement import build_procurement
from npubench.report.requirements import read_sheet
from npubench.verbs.report import compare_all
from npubench_reports.document_html import render

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "reports" / "examples"
EVIDENCE = EXAMPLES / "evidence.zip"
SUBJECT = "cpu-and-simulated"


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    folder = tmp_path_factory.mktemp("evidence")
    with zipfile.ZipFile(EVIDENCE) as packed:
        packed.extractall(folder)
    entries, unreadable = Store(folder / "runs").read()
    assert unreadable == []
    assert entries
    return entries


def test_the_records_behind_the_examples_hold(tmp_path: Path) -> None:
    """Digests, signature, and every figure recomputed; the cache is empty, so that the file alone says it."""
    verdict = verify(EVIDENCE, read_trust(EXAMPLES / "trusted.toml"), (), tmp_path, 1)
    assert (verdict.differs, verdict.unchecked, verdict.trusted) == (False, False, True)


def procurement(entries: list[Entry]) -> Document:
    workloads = {*workload_names()}
    targets = {entry.record.spec.target.name for entry in entries}
    return build_procurement(
        entries,
        subject=SUBJECT,
        reference="onnxruntime/fp32",
        sheet=read_sheet(EXAMPLES / "requirements.toml", workloads),
        costs=read_costs(ROOT / "docs" / "procurement" / "cost.toml", targets, workloads),
    )


def comparison(entries: list[Entry]) -> Document:
    page, chosen = compare_all(entries, "onnxruntime/fp32", "", "--baseline ")
    return build_comparison(page, chosen)


BUILDERS: dict[str, Callable[[list[Entry]], Document]] = {
    "comparison": comparison,
    "procurement": procurement,
    "feedback": lambda entries: build_feedback(entries, "openvino", layers=()),
    "nightly": lambda entries: build_nightly(entries, subject=SUBJECT),
}


def comparable(html: str) -> str:
    """Return a page with unrounded figures cut to six digits: their last bits depend on the CPU."""
    return re.sub(r"\d+\.\d{6,}", lambda found: f"{float(found[0]):.6g}", html)


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("name", BUILDERS)
def test_an_example_is_what_its_records_make(entries: list[Entry], name: str, language: str) -> None:
    kept = (EXAMPLES / f"{name}.{language}.html").read_text(encoding="utf-8")
    made_at = re.search(r'<time datetime="([^"]+)">', kept)
    assert made_at
    document = replace(BUILDERS[name](entries), made_at=made_at[1])
    assert comparable(render(document, language=language).decode("utf-8")) == comparable(kept)


def test_every_page_says_that_a_device_is_simulated(entries: list[Entry]) -> None:
    assert any(entry.record.system.simulated for entry in entries)
    for page in (*EXAMPLES.glob("procurement.*.html"), *EXAMPLES.glob("nightly.*.html")):  # feedback is of one real target
        assert "SIMULATED" in page.read_text(encoding="utf-8"), page.name


def test_the_files_of_the_examples_are_there() -> None:
    named = re.findall(r"\]\(([\w.-]+)\)", (EXAMPLES / "README.md").read_text(encoding="utf-8"))
    assert [name for name in named if not (EXAMPLES / name).exists()] == []
    assert (EXAMPLES / "procurement.ko.pdf").read_bytes().startswith(b"%PDF-")
