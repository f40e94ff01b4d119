"""The procurement report as a whole: complete, traceable, in both languages, and readable whatever the store holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from npubench.analyze.estimate import Estimate
from npubench.contract.runspec import Scenario
from npubench.errors import InputError, StoreError
from npubench.plan.workload import workload_names
from npubench.record.schema import Energy
from npubench.record.store import Entry, Store
from npubench.report.document import Cell, Document, Grid, Mark, Notice, Phrase, Plot, Reason, Section
from npubench.report.operating_cost import read_costs
from npubench.report.procurement import build_procurement
from npubench.report.requirements import read_sheet
from npubench.verbs.documents import asked_formats, write_document
from npubench.verbs.report_procurement import write_procurement
from npubench_reports import spoken
from npubench_reports.messages import load
from npubench_reports.reasons import say

Add = Callable[..., Entry]

SHEET = """
schema_version = 1
name = "관제 <b>서버</b>"
[[requirement]]
workload = "tiny"
scenario = "single-stream"
metric = "latency_p90"
unit = "ms"
max = 2
weight = 10
full = 0.5
at_bound = 0.6
mandatory = true
[[requirement]]
workload = "tiny"
scenario = "single-stream"
metric = "efficiency_ratio"
domain = "card"
min = 2
weight = 10
note = "정책 기준"
[[requirement]]
workload = "tiny"
scenario = "offline"
metric = "throughput"
unit = "samples/s"
min = 1
max = 1e9
mandatory = true
"""

COST = """
schema_version = 1
name = "center"
term_years = 5
discount_rate = 0.045
utilisation = 0.6
[tariff]
name = "산업용"
date = "2024-10-24"
source = "tariff table"
krw_per_kwh = 120.0
[[device]]
target = "npu"
capital_krw = 1000000
source = "an offer"
[[service]]
name = "cctv"
workload = "tiny"
queries_per_s = 5000
latency_ms = 10
headroom = 0.2
"""


@pytest.fixture
def full(store: Store, add: Add, make_energy: Callable[..., Energy], tmp_path: Path) -> Callable[..., Document]:
    """A store with a reference, candidates good and bad, a simulated one, and names that must stay names."""
    single = {"scenario": Scenario.SINGLE_STREAM}
    add("gpu", 1.0, energy=(make_energy(10),), **single)
    add("npu", 0.9, energy=(make_energy(25), make_energy(5, 200, domain="wall", evidence="wall meter")), seed=1, **single)
    add("npu", 0.91, energy=(make_energy(26),), seed=2, spec={"precision": "int8"}, **single)
    add("<script>alert(1)</script>", 5.0, seed=3, **single)
    add("=HYPERLINK(1) 🚀 엔피유", 1.5, status="invalid", reason="it is", **single)
    add("sim", 0.1, simulated=True, energy=(make_energy(99, simulated=True),), **single)
    add("npu", scenario=Scenario.OFFLINE)
    add("npu", 1.0, scenario=Scenario.SERVER, energy=(make_energy(25),), status="ok")
    add("gpu", scenario=Scenario.SERVER, status="failed", reason="no such thing as this")

    def build(sheet: str = SHEET, cost: str = COST, reference: str = "gpu") -> Document:
        (tmp_path / "sheet.toml").write_text(sheet, encoding="utf-8")
        (tmp_path / "cost.toml").write_text(cost, encoding="utf-8")
        return build_procurement(
            store.read()[0],
            subject="store",
            reference=reference,
            sheet=read_sheet(tmp_path / "sheet.toml", ["tiny"]) if sheet else None,
            costs=read_costs(tmp_path / "cost.toml", ["npu", "gpu"], ["tiny"]) if cost else None,
        )

    return build


def parts(of: Any) -> Iterator[Any]:
    """Yield everything a document is made of, itself included."""
    yield of
    if is_dataclass(of) and not isinstance(of, Estimate):
        for field in fields(of):
            yield from parts(getattr(of, field.name))
    elif isinstance(of, tuple | list):
        for each in of:
            yield from parts(each)
    elif isinstance(of, dict):
        for each in of.values():
            yield from parts(each)


def grids(document: Document) -> dict[str, Grid]:
    return {part.name: part for part in parts(document) if isinstance(part, Grid)}


def said(cell: Cell, language: str = "en") -> str:
    return spoken.spoken(cell, load(language)).text


def table(document: Document, name: str, language: str = "en") -> dict[str, list[str]]:
    """Return row → cells as they are read."""
    return {said(row.heading, language): [said(cell, language) for cell in row.cells] for row in grids(document)[name].rows}


@pytest.mark.parametrize("language", ["ko", "en"])
def test_every_word_is_known_in_both_languages(full: Callable[..., Document], language: str) -> None:
    messages = load(language)
    phrases = [part for part in parts(full()) if isinstance(part, Phrase)]
    assert {phrase.key for phrase in phrases if not messages.has(phrase.key)} == set()
    for phrase in phrases:
        assert "{" not in str(spoken.phrase(phrase, messages))


def test_every_reason_is_said_in_korean(full: Callable[..., Document]) -> None:
    own = {"no such thing as this", "it is"}
    reasons = {part.text for part in parts(full()) if isinstance(part, Reason)}
    reasons |= {part.reason for part in parts(full()) if isinstance(part, Estimate) and part.reason}
    assert {reason for reason in reasons - own if say(reason, load("ko")).foreign} == set()


def test_names_are_unique_and_fit_for_anchors(full: Callable[..., Document]) -> None:
    sections = [part.name for part in parts(full()) if isinstance(part, Section)]
    tables = [part.name for part in parts(full()) if isinstance(part, Grid | Plot)]
    for names in (sections, tables):
        assert len(names) == len(set(names))
        assert all(name.replace("-", "").isalnum() and name.isascii() for name in names)


def test_every_table_is_whole(full: Callable[..., Document]) -> None:
    for grid in grids(full()).values():
        assert {len(row.cells) for row in grid.rows} <= {len(grid.columns) - 1}, grid.name


def test_every_number_leads_to_runs_that_are_listed_with_their_digest(full: Callable[..., Document]) -> None:
    document = full()
    listed = {run.run_id for run in document.runs}
    named = {run for part in parts(document) if isinstance(part, Cell) for run in part.runs}
    assert named
    assert named <= listed
    assert all(run.record_digest.startswith("sha256:") for run in document.runs)
    inputs = {"cost-inputs", "cost-devices", "requirements-asked", "reading", "differences"}
    for name, grid in grids(document).items():
        for row in grid.rows if name not in inputs else ():
            for cell in row.cells:
                assert cell.runs or not isinstance(cell.content, Estimate) or cell.content.value is None, name


def test_simulated_devices_are_on_every_page_and_nowhere_ranked(full: Callable[..., Document]) -> None:
    document = full()
    assert [banner.key for banner in document.banners] == ["document.banner.simulated"]
    standing = table(document, "place-tiny-single-stream-standing")
    assert standing["sim · fp32"][0] == "not ranked: simulated device"
    assert standing["gpu · fp32"][0] == "3"
    # 0.90 and 0.91 ms, give or take a tenth: their intervals overlap.
    assert standing["npu · fp32"][0] == standing["npu · int8"][0] == "= 1 (shared)"


def test_the_summary_says_who_passes_and_who_reaches_twice_the_efficiency(full: Callable[..., Document]) -> None:
    rows = table(full(), "summary")
    assert "gpu · fp32" not in rows
    assert rows["npu · fp32"][0] == "○ pass"
    assert rows["npu · fp32"][3] == "○ met in all 1"
    assert rows["npu · int8"][0] == "△ open"
    assert rows["sim · fp32"][0] == "△ open"
    assert rows["sim · fp32"][5] == "simulated device: no product's performance"
    assert rows["<script>alert(1)</script> · fp32"][0] == "× fail"


def test_power_of_devices_and_of_servers_never_share_a_table(full: Callable[..., Document]) -> None:
    found = {name: grid for name, grid in grids(full()).items() if name.startswith("cost-tiny") and "sensitivity" not in name}
    assert set(found) >= {"cost-tiny-single-stream-whole", "cost-tiny-single-stream-device"}
    for name, grid in found.items():
        domains = {cell.content.key for row in grid.rows for cell in row.cells[:1] if isinstance(cell.content, Phrase)}
        assert domains == ({"domain.wall"} if name.endswith("whole") else {"domain.card"}), name


def test_without_a_pue_there_is_the_sensitivity_and_no_single_figure(full: Callable[..., Document]) -> None:
    document = full()
    assert "procurement.cost.no-pue" in {part.sentence.key for part in parts(document) if isinstance(part, Notice)}
    rows = grids(document)["cost-tiny-single-stream-device"].rows
    assert all(
        cell.content.value is None
        for row in rows
        for cell in row.cells
        if isinstance(cell.content, Estimate) and cell.content.unit == "KRW"
    )
    sensitivity = grids(document)["cost-tiny-single-stream-device-sensitivity"]
    assert [column.heading.values["pue"] for column in sensitivity.columns[1:] if isinstance(column.heading, Phrase)] == [
        1.1,
        1.3,
        1.5,
        1.8,
    ]
    values = [cell.content.value for cell in sensitivity.rows[0].cells if isinstance(cell.content, Estimate)]
    assert values == sorted(values)
    assert values[2] / values[0] == pytest.approx(1.5 / 1.1)


def test_what_is_missing_is_said_with_its_reason(full: Callable[..., Document]) -> None:
    rows = [[said(row.heading), *map(said, row.cells)] for row in grids(full())["missing"].rows]
    assert [
        "Tiny · Server",
        "gpu · fp32",
        "latency, throughput, power, energy efficiency, utilisation, accuracy",
        "no such thing as this",
    ] in rows
    assert any(row[0] == "Tiny · Offline" and row[2:] == ["everything", "not run"] for row in rows)


def test_plots_have_words_and_their_figures(full: Callable[..., Document]) -> None:
    found = [part for part in parts(full()) if isinstance(part, Plot)]
    assert {plot.name for plot in found} >= {"place-tiny-single-stream-latency", "place-tiny-single-stream-pareto-1"}
    for plot in found:
        assert plot.table.rows
        assert len(str(spoken.phrase(plot.alt, load("ko")))) > 30
    pareto = next(plot for plot in found if plot.name.endswith("pareto-1") and len(plot.table.rows) > 2)
    front = {said(row.heading) for row in pareto.table.rows if isinstance(row.cells[2].content, Mark)}
    assert "gpu · fp32" not in front
    assert {series.nature for series in pareto.series} == {"measured", "simulated"}


def test_throughput_over_batch_is_of_runs_that_differ_in_it(store: Store, add: Add) -> None:
    for batch in (1, 4, 16):
        add("npu", scenario=Scenario.OFFLINE, load={"batch": batch}, seed=batch)
    document = build_procurement(store.read()[0], subject="store")
    (plot,) = (part for part in parts(document) if isinstance(part, Plot) and part.name == "batch-tiny")
    assert [point.x for point in plot.series[0].points] == [1.0, 4.0, 16.0]
    assert len(document.runs) == 3


def test_a_store_of_one_failed_run_is_a_readable_report(store: Store, add: Add) -> None:
    add("npu", status="failed", reason="the worker was killed")
    document = build_procurement(store.read()[0], subject="store")
    assert [banner.key for banner in document.banners] == ["document.banner.none-valid"]
    notices = {part.sentence.key for part in parts(document) if isinstance(part, Notice)}
    assert notices >= {"procurement.summary.nothing-decides", "procurement.summary.no-reference"}
    assert table(document, "summary")["npu · fp32"][5] == "1 of 1 failed"


def test_a_smoke_store_ranks_nobody_and_says_so(store: Store, add: Add) -> None:
    add("a", spec={"grade": "smoke"})
    add("b", spec={"grade": "smoke"})
    document = build_procurement(store.read()[0], subject="store", reference="a")
    assert [banner.key for banner in document.banners] == ["document.banner.smoke"]
    assert {cells[0] for cells in table(document, "place-tiny-single-stream-standing").values()} == {"not ranked: smoke grade"}


def test_parts_measured_again_leave_a_candidate_one(store: Store, add: Add) -> None:
    add("a", started_at="2026-01-01T00:00:00+00:00")
    add("a", scenario=Scenario.OFFLINE, spec={"round": "again"}, started_at="2026-01-02T00:00:00+00:00")
    assert list(table(build_procurement(store.read()[0], subject="store"), "summary")) == ["a · fp32"]


def test_a_reference_must_be_one(store: Store, add: Add) -> None:
    add("gpu")
    add("gpu", spec={"precision": "int8"})
    entries = store.read()[0]
    with pytest.raises(InputError, match=r"--reference 'gpuu': no such target in this store; (did you mean 'gpu|valid are: gpu)"):
        build_procurement(entries, subject="x", reference="gpuu")
    with pytest.raises(InputError, match=r"several are called so; choose one of: 'gpu · fp32', 'gpu · int8'"):
        build_procurement(entries, subject="x", reference="gpu")
    assert list(table(build_procurement(entries, subject="x", reference="gpu/int8"), "summary")) == ["gpu · fp32"]


def test_formats_are_those_there_are(tmp_path: Path) -> None:
    assert asked_formats("", None) == ("html",)
    assert asked_formats("", tmp_path / "a.PDF") == ("pdf",)
    assert asked_formats("json, md,json", None) == ("json", "md")
    with pytest.raises(InputError, match=r"--format 'pfd': no such format.*pdf"):
        asked_formats("pfd", None)
    with pytest.raises(InputError, match=r"this is one file, and 2 formats are asked for; name a folder"):
        asked_formats("html,pdf", tmp_path / "a.html")


def test_files_are_written_whole_and_stay_where_they_were_asked(
    full: Callable[..., Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: dict[str, Any] = {"html": b"<p>", "csv": {"a.csv": b"1", "b.csv": b"2"}, "md": "한글"}
    monkeypatch.setattr("npubench.verbs.documents._renderer", lambda wanted: lambda document, language: made[wanted])
    paths = write_document(full(), ("html", "csv", "md"), "ko", tmp_path / "out", tmp_path)
    assert [path.relative_to(tmp_path / "out").as_posix() for path in paths] == [
        "procurement.html",
        "procurement/a.csv",
        "procurement/b.csv",
        "procurement.md",
    ]
    assert (tmp_path / "out" / "procurement.md").read_text(encoding="utf-8") == "한글"
    assert capsys.readouterr().out.splitlines() == [str(path.resolve()) for path in paths]
    made["csv"] = {"../../escaped.csv": b"1"}
    with pytest.raises(InputError, match="no plain file name"):
        write_document(full(), ("csv",), "ko", tmp_path / "out", tmp_path)
    assert not list(tmp_path.rglob("escaped.csv"))


def test_the_examples_in_the_documents_are_valid() -> None:
    folder = Path(__file__).parents[2] / "docs" / "procurement"
    sheet = read_sheet(folder / "requirements.toml", workload_names())
    assert sheet.weight == 100
    costs = read_costs(folder / "cost.toml", ["onnxruntime"], workload_names())
    assert costs.pue is None
    assert 95.7 < costs.price < 155.0


def test_the_verb_leaves_out_what_cannot_be_read_and_says_so(
    store: Store, add: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add("npu")
    newer = add("later")
    text = (newer.folder / "record.json").read_text(encoding="utf-8")
    (newer.folder / "record.json").write_text(text.replace('"schema_version": 3', '"schema_version": 99', 1), encoding="utf-8")
    seen: list[Document] = []
    monkeypatch.setattr(
        "npubench.verbs.documents._renderer", lambda wanted: lambda document, language: seen.append(document) or ""
    )
    assert write_procurement(store.root, "", None, None, tmp_path / "a.md", "", "en") == 0
    assert [run.target for run in seen[0].runs] == ["npu"]
    assert "left out" in capsys.readouterr().err
    with pytest.raises(StoreError, match="there is no run in this store"):
        write_procurement(tmp_path / "nothing", "", None, None, None, "", "en")
