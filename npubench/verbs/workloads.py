"""``npubench workloads``: list, prepare and show what can be run."""

from __future__ import annotations

import json

from rich.table import Table

from npubench.contract.bundle import read_bundle
from npubench.contract.runspec import to_plain
from npubench.plan.bundles import prepare
from npubench.plan.wheels import npubench_cache
from npubench.plan.workload import find_workload, workload_names
from npubench.verbs.console import Steps, data, out


def list_workloads(as_json: bool) -> int:
    """List all workloads from their manifests; imports none of their modules."""
    manifests = [find_workload(name).manifest for name in workload_names()]
    if as_json:
        rows = [
            {"name": m.name, "version": m.version, "title": m.title.model_dump(), "precisions": list(m.precisions)}
            for m in manifests
        ]
        data(json.dumps(rows, indent=1, ensure_ascii=False))
        return 0
    table = Table(title="Workloads", title_justify="left")
    for column in ("name", "title", "national task", "precisions", "claim", "latency bound"):
        table.add_column(column, overflow="fold")
    for m in manifests:
        bound = f"{m.latency_bound_ms:g} ms" if m.latency_bound_ms else "—"
        table.add_row(m.name, m.title.en, m.task.en, ", ".join(m.precisions), m.gate.claim, bound)
    out.print(table)
    return 0


def prepare_workloads(names: list[str], force: bool) -> int:
    """Make the bundles of ``names``, or of all."""
    wanted = [find_workload(name).manifest.name for name in names] or list(workload_names())
    steps = Steps(len(wanted), "preparing")
    with steps.shown():
        for name in wanted:
            steps.now(name)
            bundle = prepare(name, npubench_cache(), force=force, progress=lambda text: steps.line(f"[dim]{text}[/]"))
            steps.step(f"{name}  {bundle.samples} samples, {bundle.operations:,} operations an inference, {bundle.digest[:19]}…")
    return 0


def show_workload(name: str, as_json: bool) -> int:
    """Show a workload's manifest, and its bundle where it is made."""
    workload = find_workload(name)
    bundle = prepare(name, npubench_cache())
    if as_json:
        data(json.dumps({**to_plain(read_bundle(bundle.root)), "root": str(bundle.root)}, indent=1, ensure_ascii=False))
        return 0
    table = Table(
        title=f"{name} {workload.manifest.version}: {workload.manifest.title.en}", title_justify="left", show_header=False
    )
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    gate = bundle.gate
    rows = {
        "national task": workload.manifest.task.en,
        "licence": bundle.licence,
        "inputs": "; ".join(f"{s.name} {s.dtype}{list(s.shape)} {s.layout}" for s in bundle.inputs),
        "outputs": "; ".join(f"{s.name} {s.dtype}{list(s.shape)}" for s in bundle.outputs),
        "samples": str(bundle.samples),
        "operations": f"{bundle.operations:,} an inference (2 × multiply-accumulates, counted)",
        "gate": f"{gate.metric}: FP32 reference {gate.reference:.5g}, required {gate.required:.5g} ({gate.rule})",
        "claim": gate.claim,
        "latency bound": f"{bundle.latency_bound_ns / 1e6:g} ms" if bundle.latency_bound_ns else "—",
        "variants": "; ".join(
            f"{v.precision} (reference {v.reference_score:.5g})" if v.reference_score is not None else v.precision
            for v in bundle.variants.values()
        ),
        "sources": "\n".join(f"{s['package']}=={s['version']} {s['member']}" for s in bundle.sources) or "—",
        "digest": bundle.digest,
        "bundle": str(bundle.root),
    }
    for key, value in rows.items():
        table.add_row(key, value)
    out.print(table)
    return 0
