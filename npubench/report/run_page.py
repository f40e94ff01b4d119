"""One run as a page shows it: what it was, whether it holds, and everything that was measured of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from npubench.analyze.estimate import Estimate
from npubench.record.schema import Energy, PhaseTime, Record
from npubench.record.store import Entry
from npubench.report.audit_states import audits_of, state_word
from npubench.report.differences import system_rows
from npubench.report.document import (
    Block,
    Cell,
    Column,
    Content,
    Fact,
    Facts,
    Grid,
    Mark,
    Notice,
    Paragraph,
    Phrase,
    Reason,
    Row,
    Section,
    Setting,
    Sign,
    Text,
    Titles,
)
from npubench.report.feedback_cases import find_cases
from npubench.report.feedback_operators import Profiled, profile_blocks
from npubench.report.memory_course import memory_blocks
from npubench.report.run_health import client_blocks, ranging_blocks, stability_blocks
from npubench.report.run_traces import trace_section

#: The sign beside a status.
SIGNS: Mapping[str, Sign] = {"ok": "pass", "invalid": "open", "failed": "fail", "skipped": "missing"}


def run_sections(entry: Entry) -> tuple[Section, ...]:
    """Return everything that is said of a run but its findings and its log.

    Args:
        entry: The run with its folder; files beside the record that are damaged are said to be.
    """
    record = entry.record
    made = (
        Section("order", Phrase("serve.order"), (_order(record),)),
        Section("metrics", Phrase("serve.metrics"), (_metrics(record),)),
        Section("energy", Phrase("serve.energy"), _energy(record)),
        trace_section(entry),
        Section("audits", Phrase("serve.audits"), _audits(record)),
        Section("stability", Phrase("serve.stability"), stability_blocks(record)),
        Section("client", Phrase("serve.client"), client_blocks(record)),
        Section("ranging", Phrase("serve.ranging"), ranging_blocks(record)),
        Section("memory", Phrase("serve.memory"), memory_blocks(entry)),
        Section("operators", Phrase("serve.operators"), _operators(entry)),
        Section("phases", Phrase("serve.phases"), tuple(_phases(record))),
        Section("system", Phrase("serve.system"), tuple(_system(record))),
    )
    return tuple(section for section in made if section.blocks)


def status_cell(status: str, reason: Reason | None = None) -> Cell:
    """Return a run's status with its sign, and why under it."""
    return Cell(Mark(SIGNS[status], Phrase(f"status.{status}")), remark=reason)


def _order(record: Record) -> Facts:
    spec, load = record.spec, record.spec.load
    said: list[tuple[str, Content]] = [
        ("target", Text(spec.target.name)),
        ("device", Text(f"{spec.target.backend}:{spec.target.device}")),
        ("workload", Titles(record.bundle.title, spec.workload)),
        ("scenario", Phrase(f"scenario.{load.scenario.value}")),
        ("precision", Phrase(f"precision.{spec.precision}")),
        ("grade", Phrase(f"grade.{spec.grade}")),
        ("suite", Text(spec.suite)),
        ("started", Text(record.provenance.started_at[:16].replace("T", " ") + " UTC")),
        ("batch", load.batch),
        ("in-flight", load.in_flight),
    ]
    if load.latency_bound_ns is not None:
        said.append(("bound", Setting(float(load.latency_bound_ns), "ns")))
    reason = Reason(record.reason) if record.reason else None
    facts = [Fact(Phrase("serve.fact.status"), status_cell(record.status, reason))]
    facts += [Fact(Phrase(f"serve.fact.{name}"), Cell(content)) for name, content in said]
    return Facts(tuple(facts))


def _metrics(record: Record) -> Grid:
    def row(name: str, estimate: Estimate) -> Row:
        required: Content = None
        if name == "accuracy":
            sign = "serve.at-least" if record.bundle.higher_is_better else "serve.at-most"
            required = Phrase(sign, {"value": record.bundle.required})
        return Row(Cell(Phrase(f"metric.{name}")), (Cell(estimate), Cell(estimate.n), Cell(required)))

    headings = ("metric", "value", "count", "required")
    return _grid("metrics", headings, (row(*each) for each in record.metrics.items()), numeric=("value", "count"))


def _energy(record: Record) -> tuple[Grid | Paragraph, ...]:
    if not record.energy:
        return (Paragraph((Phrase("serve.no-energy"),)),)
    names = ("joules", "watts", "peak", "idle", "above-idle", "per-sample", "per-joule")

    def row(found: Energy) -> Row:
        values = [found.joules, found.watts, found.peak_watts, found.idle_watts, found.above_idle_joules]
        values += [found.joules_per_sample, found.samples_per_joule]
        kind = (Phrase(f"domain.{found.domain}"), Phrase(f"evidence.{found.evidence}"))
        remark = Phrase("document.mark.simulated") if found.simulated else None
        return Row(Cell(Text(found.sensor), remark=remark), (*(Cell(each) for each in kind), *(Cell(v) for v in values)))

    return (_grid("energy", ("sensor", "domain", "evidence", *names), map(row, record.energy), numeric=names),)


def _operators(entry: Entry) -> tuple[Block, ...]:
    """Return the run's profile, or why there is none; nothing where none was asked for."""
    found = entry.record.operators
    if found is None:
        return ()
    if found.reason is not None:
        return (Paragraph((Phrase("serve.no-operators"), Reason(found.reason))),)
    (case,) = find_cases([entry])
    own_clock = Paragraph((Phrase("feedback.operators.own-clock"),))
    return (own_clock, *profile_blocks(1, Profiled(case, entry.record.run_id, found)))


def _audits(record: Record) -> tuple[Grid | Paragraph, ...]:
    if not record.audits:
        return (Paragraph((Phrase("serve.no-audits"),)),)
    rows = (
        Row(
            Cell(Phrase(f"audit.{audit.name}")),
            (
                Cell(state_word(state)),
                Cell(Reason(audit.observed)),
                Cell(Reason(audit.required)),
            ),
        )
        for audit, state in audits_of(record)
    )
    return (_grid("audits", ("audit", "status", "observed", "required"), rows),)


def _phases(record: Record) -> Iterator[Grid | Paragraph]:
    if not record.phases:
        yield Paragraph((Phrase("serve.no-phases"),))
        return
    first = min(phase.start_ns for phase in record.phases)

    def row(phase: PhaseTime) -> Row:
        begun = Estimate(float(phase.start_ns - first) * 1e-9, "s")
        took = Estimate(float(phase.end_ns - phase.start_ns) * 1e-9, "s")
        return Row(Cell(Phrase(f"phase.{phase.phase}")), (Cell(begun), Cell(took)))

    yield _grid("phases", ("phase", "begun", "took"), map(row, record.phases), numeric=("begun", "took"))
    steps = [step for phase in record.phases for step in phase.steps]
    if steps:
        rows = (
            Row(
                Cell(n),
                (
                    Cell(Estimate(step.target_qps, "queries/s")),
                    Cell(step.queries),
                    Cell(None if step.percentile_ns is None else Estimate(step.percentile_ns, "ns")),
                    Cell(Mark("pass" if step.met else "fail", Phrase("serve.met" if step.met else "serve.not-met"))),
                    Cell(Phrase("serve.certifying" if step.certifying else "serve.probing")),
                ),
            )
            for n, step in enumerate(steps, start=1)
        )
        numeric = ("rate", "queries", "percentile")
        yield _grid("search", ("step", "rate", "queries", "percentile", "bound-met", "step-kind"), rows, numeric=numeric)


def _system(record: Record) -> Iterator[Grid | Notice]:
    system, provenance = record.system, record.provenance
    if system.simulated:
        yield Notice("warning", Phrase("serve.simulated"))
    rows: dict[str, str] = {**system_rows(record), **system.stable}
    yield _table("host", {name: value for name, value in rows.items() if value}, words="system")
    plugin = {f"plug-in {name}": value for name, value in provenance.plugin.items()}
    versions = {"npubench": provenance.harness, "LoadGen": provenance.loadgen, "Python": system.python}
    yield _table("device", {**system.device, **plugin, **versions, **system.versions})
    settings = {name: "—" if value is None else str(value) for name, value in provenance.settings.items()}
    yield _table("settings", {**settings, **system.environment})
    yield _table("files", {name: digest for name, digest in sorted(provenance.files.items()) if "/" not in name})
    yield _table("packages", dict(sorted(system.packages.items())))


def _table(name: str, rows: Mapping[str, str], words: str = "") -> Grid:
    """Return ids and their texts; ids of the vocabulary ``words`` by their names, others as they are."""
    found = (
        Row(Cell(Phrase(f"{words}.{key}") if words and ":" not in key else Text(key)), (Cell(Text(value)),))
        for key, value in rows.items()
    )
    return _grid(name, ("item", "content"), found)


def _grid(name: str, headings: tuple[str, ...], rows: Iterator[Row] | map[Row], numeric: tuple[str, ...] = ()) -> Grid:
    columns = tuple(Column(Phrase(f"serve.column.{each}"), each in numeric) for each in headings)
    return Grid(name, Phrase(f"serve.caption.{name}"), columns, tuple(rows))
