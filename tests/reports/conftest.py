"""Comparison pages to render: one as a night on a testbed makes it, and its odd relatives."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.finding import Finding
from npubench.contract.runspec import Scenario
from npubench.record.store import Store
from npubench.report import document as document_model
from npubench.report import frame
from npubench.report.comparison_document import comparison_facts, comparison_sections
from npubench.report.feedback import build_feedback
from npubench.report.nightly import build_nightly
from npubench.report.page import (
    Cell,
    ComparisonPage,
    Curve,
    Difference,
    Distribution,
    Ratio,
    Row,
    Subject,
    SystemCard,
    Table,
)
from npubench.report.procurement import build_procurement

MakePage = Callable[..., ComparisonPage]

#: name → Korean and English title, Korean and English task
WORDS = {
    "doc-orientation": ("문서 방향 판별", "Document orientation", "납세 서비스", "Tax documents"),
    "file-type": ("파일 형식 판별", "File type", "행정 문서", "Administration"),
    "ocr-line": ("문자 인식(한 줄)", "Text line recognition", "납세 서비스", "Tax documents"),
    "face-detection": ("얼굴 검출", "Face detection", "AI CCTV", "AI CCTV"),
    "image-classification": ("영상 분류", "Image classification", "AI CCTV", "AI CCTV"),
    "sst-forecast": ("해수면 온도 예측", "Sea surface temperature forecast", "기상·기후 예측", "Weather and climate"),
    "resnet50": ("ResNet-50 v1.5", "ResNet-50 v1.5", "MLPerf 공통", "MLPerf"),
}
#: name, operations, gate metric, required, higher is better, fp32 latency in ns
WORKLOADS = (
    ("doc-orientation", 308_000_000, "top1", 0.99, True, 5.1e6),
    ("file-type", 740_000_000, "top1", 0.985, True, 7.3e6),
    ("ocr-line", 2_180_000_000, "character-error", 0.031, False, 38.0e6),
    ("face-detection", 26_000_000, "exact-match", 0.97, True, 0.42e6),
    ("image-classification", 770_000_000, "top1", 0.743, True, 9.8e6),
    ("sst-forecast", 1_350_000_000, "rmse", 0.412, False, 16.4e6),
    ("resnet50", 8_180_000_000, "fidelity", 0.99, True, 61.0e6),
)
SUBJECTS = (
    ("cpu-1", "fp32", 1.0, {"threads": "1"}, False),
    ("cpu-all", "fp32", 3.4, {"threads": "8"}, False),
    ("cpu-all", "int8", 6.1, {"threads": "8"}, False),
    ("sim-npu", "int8", 21.0, {"batch": "8"}, True),
    ("cpu-all", "fp16", 3.1, {"threads": "8"}, False),
    ("cpu-half", "int8", 4.0, {"threads": "4"}, False),
)
SCENARIOS = {
    "single-stream": ("latency_p90", "ns", False),
    "multi-stream": ("latency_p99", "ns", False),
    "server": ("query_rate", "queries/s", True),
    "offline": ("throughput", "samples/s", True),
}
PERCENTILES = {"latency_p50": 0.5, "latency_p90": 0.9, "latency_p95": 0.95, "latency_p97": 0.97, "latency_p99": 0.99}
QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.97, 0.99, 0.995, 0.999, 1.0)


def finding(rule: str, severity: str = "warning", observed: str = "", required: str = "") -> Finding:
    return Finding(rule, severity, observed or "observed 0.61", required or "at least 1", f"English advice of {rule}.")  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def make_page() -> MakePage:
    """Build a page of ``subjects`` × ``workloads`` in the given grade, as a comparison would hand it over."""
    return build


def build(
    subjects: int = 4, workloads: int = 7, grade: str = "nightly", scenarios: tuple[str, ...] = tuple(SCENARIOS)
) -> ComparisonPage:
    people = tuple(
        Subject(
            f"s{i}",
            f"{target} · {precision}",
            target,
            "simulated" if simulated else "onnxruntime",
            "npu0" if simulated else "cpu",
            precision,
            options,
            "node7-1f3a9c",
            simulated,
        )
        for i, (target, precision, _, options, simulated) in enumerate(SUBJECTS[:subjects])
    )
    tables = []
    distributions = []
    for scenario in scenarios:
        headline, unit, higher = SCENARIOS[scenario]
        rows = []
        for index, (name, work, gate, required, up, base) in enumerate(WORKLOADS[:workloads]):
            ko, en, task_ko, task_en = WORDS[name]
            cells = tuple(_cell(scenario, index, i, people, base, required, up, grade) for i in range(subjects))
            title, task = {"ko": ko, "en": en}, {"ko": task_ko, "en": task_en}
            rows.append(Row(name, title, task, work, gate, "ratio", cells, up))
            if scenario in ("single-stream", "server"):
                bound = 50_000_000 if scenario == "server" else None
                curves = tuple(
                    Curve(c.subject, QUANTILES, _latencies(base / SUBJECTS[i][2], scenario, i))
                    for i, c in enumerate(cells)
                    if c.headline is not None
                )
                distributions.append(Distribution(scenario, name, title, curves, bound))
        tables.append(Table(scenario, headline, unit, higher, tuple(rows)))
    host = {
        "cpu": "AMD EPYC 7763 64-Core Processor",
        "logical-cores": "8",
        "memory": "31.4 GiB",
        "operating-system": "Debian GNU/Linux 12",
        "kernel": "6.1.0-31-amd64",
        "virtualisation": "kvm",
        "governor": "",
    }
    differences = (
        Difference("option:threads", {p.key: p.options["threads"] for p in people if "threads" in p.options}),
        Difference("precision", {p.key: p.precision for p in people}),
        Difference("package:onnxruntime", {p.key: "1.32.0" for p in people if not p.simulated}),
        Difference("version:simulated", {p.key: "0.1.0" for p in people if p.simulated}),
        Difference("environment:OMP_NUM_THREADS", {people[0].key: "1"} if people else {}),
        Difference("batch", {p.key: str(i + 1) for i, p in enumerate(people)}),
    )
    return ComparisonPage(
        title="야간 측정 2026-03-04",
        grades=(grade,),
        baseline=people[0].key if people else "",
        subjects=people,
        systems=(SystemCard("node7-1f3a9c", host),),
        tables=tuple(tables),
        distributions=tuple(distributions),
        differences=differences if subjects > 1 else (),
        exclusions=("host-transpose", "pre-processing", "post-processing", "model-load", "compile"),
    )


def _latencies(middle: float, scenario: str, i: int) -> tuple[float, ...]:
    spread = 0.035 if scenario == "single-stream" else 0.35
    nines = [-math.log10(1 - q) if q < 1 else 4.6 for q in QUANTILES]
    return tuple(middle * (1 + spread * k ** (1.2 + 0.2 * i) - 0.02 * (k < 0.3)) for k in nines)


def _headline(scenario: str, base: float, speed: float, wobble: float) -> Estimate:
    latency = base / speed
    if scenario in ("single-stream", "multi-stream"):
        value = latency * (1.04 if scenario == "single-stream" else 8.6)
        return Estimate(value, "ns", value * (1 - wobble), value * (1 + wobble), 0.99, 4096)
    value = 1e9 / latency * (0.74 if scenario == "server" else 1.07)
    unit = "queries/s" if scenario == "server" else "samples/s"
    return Estimate(value, unit, value * (1 - wobble), value * (1 + wobble), 0.95, 30)


def _cell(scenario: str, w: int, i: int, people: tuple[Subject, ...], base: float, required: float, up: bool, grade: str) -> Cell:
    name = WORKLOADS[w][0]
    speed = SUBJECTS[i][2] * (1 + 0.13 * math.sin(3 * w + i))
    if people[i].key == "s2" and name == "sst-forecast":
        speed = 1.004  # as fast as the baseline
    run_id = f"{people[i].target}-{people[i].precision}-{name}-{scenario}-r0-{(w * 97 + i * 31) % 4096:04x}"
    gate_value = required + (0.0042 if up else -0.0042)
    status, reason, unranked = "ok", "", ""
    findings = [finding("virtual-machine", "note", "kvm", "bare metal at official grade")]
    if people[i].simulated:
        findings.append(finding("simulated", "note", "simulated:npu0", "a real device"))
        unranked = "simulated"
    if grade == "smoke":
        unranked = "smoke"
    if name == "ocr-line" and people[i].precision == "int8" and not people[i].simulated:
        gate_value, status = 0.0311, "invalid"
        reason = "the accuracy gate is missed: cer 0.0311, required at most 0.031"
        findings.append(finding("accuracy-gate", "invalid", "cer 0.0311", "at most 0.031"))
    if scenario == "server" and i == 0:
        findings.append(finding("throughput-unstable", "warning", "window throughputs vary by 7.2 %", "at most 5 %"))
    if scenario == "multi-stream" and w == 4:
        findings.append(finding("drift", "warning", "last third 3.1 % slower than the first", "within 2 %"))
    headline: Estimate | None = _headline(scenario, base, speed, 0.004 + 0.004 * ((w + i) % 4))
    if name == "resnet50" and i == 2:
        status, headline = "failed", None
        reason = "executor raised RuntimeError: [ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code in QLinearConv"
    if name == "face-detection" and people[i].simulated:
        status, headline, reason = "skipped", None, "unsupported: operator NonMaxSuppression is not supported by compiler 2.4.1"
    if scenario == "multi-stream" and name == "resnet50" and i == 0:
        headline, status = absent("ns", "p99 needs 662 queries, the run has 118", 118), "invalid"
        reason = "the tail cannot be certified"
        findings.append(finding("certified-tail", "invalid", "118 queries", "662 queries for p99"))
    if status != "ok":
        unranked = unranked or status
    details = {}
    if headline is not None:
        latencies = _latencies(base / speed, scenario, i)
        for metric, q in PERCENTILES.items():
            value = latencies[QUANTILES.index(q)]
            details[metric] = Estimate(value, "ns", None, value * 1.012, 0.99, 4096)
        for metric, q in (("latency_min", 0.0), ("latency_mean", 0.75), ("latency_max", 1.0)):
            details[metric] = Estimate(latencies[QUANTILES.index(q)], "ns", n=4096)
        details["latency_p999"] = absent("ns", "p99.9 needs 6636 queries, the run has 4096", 4096)
        rate = 1e9 / base * speed
        details["throughput"] = Estimate(rate, "samples/s", rate * 0.99, rate * 1.01, 0.95, 30)
    ratio = None
    if i > 0:
        if headline is None or status != "ok":
            ratio = Ratio(None, None, None, 0.95, None, "not-comparable", status)
        elif speed < 1.01:
            ratio = Ratio(1.004, 0.991, 1.018, 0.95, 0.44, "indistinguishable")
        else:
            ratio = Ratio(speed, speed * 0.982, speed * 1.017, 0.95, 0.0003, "better")
    ranked = not unranked and len(people) > 1
    fidelity = name == "resnet50"
    return Cell(
        subject=people[i].key,
        run_id=run_id,
        status=status,
        reason=reason,
        grade=grade,
        headline=headline,
        details=details,
        accuracy=Estimate(gate_value, "ratio", n=1000) if status != "failed" and status != "skipped" else None,
        accuracy_required=required,
        accuracy_claim="fidelity" if fidelity else "accuracy",
        ratio=ratio,
        rank=_rank(i, speed) if ranked else None,
        unranked="" if ranked else unranked or "single",
        findings=tuple(findings),
    )


def _rank(i: int, speed: float) -> int:
    """As if there were three subjects: the fastest first, but no better than its own speed."""
    return {0: 3, 1: 2, 2: 1}.get(i, 4) if speed > 1.01 or i == 0 else 2


@pytest.fixture(scope="session")
def hostile_page() -> ComparisonPage:
    """A page whose every free string tries to be markup, in its own tag so that one escape cannot hide another."""
    page = build(subjects=2, workloads=1, scenarios=("offline",))

    def evil(name: str) -> str:
        return f"<script>{name}()</script>\"'><img src=x onerror={name}>&\x1b[31m\u202e\ud800"

    names = ("label", "target", "device", "backend", "precision")
    subjects = tuple(
        replace(s, options={evil("option"): evil("value")}, **{name: evil(name) for name in names}) for s in page.subjects
    )
    table = page.tables[0]
    row = table.rows[0]
    cells = tuple(
        replace(
            cell,
            run_id=evil("run"),
            reason=evil("reason") * 9,
            status="failed",
            grade=evil("grade"),
            headline=absent(evil("unit"), evil("absent")),
            findings=(Finding(evil("rule"), "warning", evil("observed"), evil("required"), evil("advice")),),
            unranked=evil("unranked"),
            details={evil("metric"): absent(evil("unit2"), evil("absent2"))},
            accuracy_claim=evil("claim"),
        )
        for cell in row.cells
    )
    row = replace(
        row,
        title={"en": evil("title")},
        task={"ko": evil("task")},
        gate_unit=evil("gate"),
        workload=evil("workload"),
        cells=cells,
    )
    curves = tuple(replace(d, title={"en": evil("curve")}) for d in build(2, 1, scenarios=("server",)).distributions)
    return replace(
        page,
        title=evil("page"),
        subjects=subjects,
        grades=(evil("g"),),
        tables=(replace(table, rows=(row,), scenario=evil("scenario"), headline=evil("headline"), unit=evil("u")),),
        distributions=curves,
        differences=(Difference("package:" + evil("package"), {"s0": evil("difference")}),),
        exclusions=(evil("exclusion"),),
        systems=(SystemCard(evil("system"), {evil("row"): evil("cell")}),),
    )


@pytest.fixture(scope="session")
def to_document() -> Callable[[ComparisonPage], document_model.Document]:
    """Make a comparison the document that a report of it is, with a line for every run on it."""
    return of_page


def of_page(page: ComparisonPage) -> document_model.Document:
    who = {subject.key: subject for subject in page.subjects}
    cells = [(cell, who[cell.subject]) for table in page.tables for row in table.rows for cell in row.cells]
    lines = tuple(run_line(run, s.target, c.status, s.simulated) for c, s in cells for run in c.run_id.split(", "))
    made = frame.make_document("comparison", page.title, [], comparison_sections(page), comparison_facts(page))
    return replace(made, made_at="2026-03-04T21:12:09Z", harness="0.1.0", runs=lines)


def run_line(run_id: str, target: str, status: str, simulated: bool) -> document_model.RunLine:
    work = ("doc-orientation", "offline", "int8", "smoke")
    return document_model.RunLine(run_id, "sys", target, *work, status, "2026-11-22T01:02:03Z", simulated, "sha256:" + "ab" * 32)


@pytest.fixture(scope="session")
def comparison() -> document_model.Document:
    """The document of a comparison of four subjects, one of them simulated, in two scenarios."""
    return of_page(build(4, 3, scenarios=("single-stream", "offline")))


#: A name as a hostile record has it: markup, a formula, Korean, an emoji and what cannot be seen.
HOSTILE = '=HYPERLINK("http://x.example")<script>alert(1)</script>\'"&`|*한글 😀\u202e\x07'


@pytest.fixture(scope="session")
def document() -> document_model.Document:
    """A document with every kind of block, cell and plot; its names are hostile."""
    return build_document()


@pytest.fixture(scope="session")
def make_document() -> Callable[..., document_model.Document]:
    """Make such a document of so many runs and another name."""
    return build_document


def build_document(runs: int = 3, name: str = HOSTILE) -> document_model.Document:
    d = document_model
    lines = tuple(run_line(f"run-{n:05}", name, "ok", n == 2) for n in range(1, runs + 1))
    one, two = ("run-00001",), ("run-00002", "run-00003")
    word = d.Phrase("document.column.candidate")
    cells = (
        (
            d.Cell(Estimate(1.40625e6, "ns", 1.394e6, 1.418e6, 0.99, 900), one),
            d.Cell(d.Mark("pass", d.Phrase("document.mark.pass")), one),
        ),
        (
            d.Cell(absent("ns", "not measured: no sensor or meter was read"), one),
            d.Cell(d.Text(name), two, d.Reason("unknown <i>reason</i>")),
        ),
        (d.Cell(Estimate(2.5e6, "ns"), two), d.Cell(-3, ("gone",))),
        (d.Cell(None), d.Cell(d.RunReference("run-00002"))),
    )
    grid = d.Grid(
        "first/../grid <x>",
        d.Phrase("document.runs.caption"),
        (d.Column(word), d.Column(d.Phrase("metric.latency"), True), d.Column(d.Text(name))),
        tuple(d.Row(d.Cell(d.Text(f"{name} {n}")), each) for n, each in enumerate(cells)),
        (d.Phrase("document.runs.lead"),),
    )
    same = replace(grid, name="same", rows=(d.Row(d.Cell(d.Text("row"), one), cells[0]),))
    empty = replace(grid, rows=(), remarks=())
    plots = tuple(build_plot(form, name, grid) for form in ("lines", "bars", "points", "steps"))
    sections = (
        d.Section(
            "summary",
            d.Phrase("document.summary"),
            (
                d.Paragraph((d.Phrase("document.runs.lead"), d.Text(name))),
                d.Points((d.Phrase("document.runs.none"),), ordered=True),
                d.Notice("note", d.Phrase("document.banner.none-valid")),
                d.Facts((d.Fact(d.Phrase("document.fact.subject"), d.Cell(d.Text(name), one)),)),
                grid,
                same,
            ),
            (d.Section("summary", d.Titles({"en": "Deep", "ko": "깊은 곳"}), (empty,)),),
        ),
        d.Section("plots", d.Text(name), plots),
    )
    banner = d.Phrase("document.banner.simulated", {"targets": name})
    facts = (d.Fact(d.Phrase("document.fact.runs"), d.Cell(runs)),)
    title = d.Phrase("document.title.procurement", {"subject": name})
    return d.Document("procurement", title, name, "2026-11-22T01:02:03+00:00", "9.9.9", (banner,), facts, sections, lines)


def build_plot(form: str, name: str, table: document_model.Grid) -> document_model.Plot:
    d = document_model
    nature = ("measured", "declared", "simulated", "measured")
    series = tuple(
        d.Series(
            d.Text(f"s{k} {name}"),
            tuple(
                d.Point(float(x), None if (x, k) == (2, 0) else 10.0 * (x + 1) + k, 9.0 * (x + 1), 12.0 * (x + 1), f"p{x}")
                for x in range(5)
            ),
            nature[k],  # type: ignore[arg-type]  # one of three literals
            joined=k != 3,
        )
        for k in range(4)
    )
    places = tuple(d.Text(f"{n} {name}") for n in range(5)) if form == "bars" else ()
    return d.Plot(
        f"plot {form}",
        d.Phrase("document.plot"),
        d.Phrase("document.data"),
        form,  # type: ignore[arg-type]  # one of four literals
        d.Axis(d.Phrase("document.column.x"), categories=places),
        d.Axis(d.Phrase("metric.throughput"), "samples/s", from_zero=True),
        series,
        table,
        (d.Stretch(d.Phrase("phase.start"), 0.0, 0.1), d.Stretch(d.Phrase("phase.timed"), 0.1, 4.0)) if form == "steps" else (),
        (d.Level(d.Phrase("document.column.required"), 25.0), d.Level(d.Phrase("document.column.source"), 9e9)),
    )


@pytest.fixture(scope="session")
def documents(
    tmp_path_factory: pytest.TempPathFactory,
    make_spec: Callable[..., Any],
    make_trace: Callable[..., Any],
    make_record: Callable[..., Any],
    publish: Callable[..., Any],
    comparison: document_model.Document,
) -> Mapping[str, document_model.Document]:
    """A report of every kind, of three nights of two targets; one run failed."""
    store = Store(tmp_path_factory.mktemp("kinds"))
    entries = []
    for night in range(3):
        for n in range(12):
            scenario = (Scenario.SINGLE_STREAM, Scenario.OFFLINE)[n % 2]
            where = {"target": {"name": ("card", "host")[n // 2 % 2]}, "workload": f"work-{n // 4}", "round": str(night)}
            spec = make_spec(scenario, run_id=f"run-{night}-{n:02}", **where)
            one = make_trace([9_000_000 + n], per_query=40, service_ns=1_000_000)
            trace = one if n % 2 else make_trace([1_000_000 + 10_000 * k + 1000 * night for k in range(64)])
            when = f"2026-08-0{1 + night}T00:{n:02}:00+00:00"
            failed = (night, n) == (2, 3)
            record = make_record(spec, None if failed else trace, status="failed" if failed else "ok", started_at=when)
            entries.append(publish(store, record, None if failed else trace))
    return {
        "procurement": build_procurement(entries, subject="kinds", reference="host"),
        "feedback": build_feedback(entries, "card", layers=()),
        "nightly": build_nightly(entries, subject="kinds"),
        "comparison": comparison,
    }
