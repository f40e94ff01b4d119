"""What INT8 costs in accuracy: by workload from the records, and by tensor from the reference's own quantised model.

The second is no measurement of the chip: it is ONNX Runtime's quantisation on a CPU (``npubench.plan.layer_loss``), which says
where a model is delicate. A compiler of its own may lose elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npubench.analyze.estimate import Estimate, absent
from npubench.record.strict import read_json_file
from npubench.report.document import (
    Cell,
    Column,
    Grid,
    Mark,
    Notice,
    Paragraph,
    Phrase,
    Row,
    Section,
    Setting,
    Text,
    Titles,
    Value,
)
from npubench.report.feedback_cases import Case

#: Where the losses by tensor lie in a store.
LAYERS = "layers"
#: The version of such a file.
LAYERS_VERSION = 1
#: Tensors that are shown of a workload.
MOST_LAYERS = 15
_MAX_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class LayerLoss:
    """A tensor of the quantised model beside the FP32 model's: signal over noise, and the noise that was added right there."""

    tensor: str
    operator: str
    sqnr_db: float
    added: float


@dataclass(frozen=True, slots=True)
class Layers:
    """The losses of one workload, by bundle; ``samples`` is how many they were found with."""

    workload: str
    bundle_digest: str
    samples: int
    runtime: str
    losses: tuple[LayerLoss, ...]


def read_layers(store: Path) -> tuple[tuple[Layers, ...], dict[str, str]]:
    """Return the losses by tensor that a store keeps, and those files that cannot be read: name → why."""
    found, broken = [], {}
    for path in sorted((store / LAYERS).glob("*.json")):
        try:
            if path.is_symlink():
                raise ValueError("is a link")
            found.append(_layers(read_json_file(path, _MAX_BYTES)))
        except (ValueError, OSError, KeyError, TypeError) as error:
            broken[path.name] = str(error) or type(error).__name__
    return tuple(found), broken


def _layers(data: Any) -> Layers:
    if not isinstance(data, Mapping) or data.get("schema_version") != LAYERS_VERSION:
        raise ValueError(f"key 'schema_version' is not {LAYERS_VERSION}: make it again with --layers")
    losses = tuple(
        LayerLoss(str(each["tensor"])[:200], str(each["operator"])[:60], _finite(each["sqnr_db"]), _finite(each["added"]))
        for each in data["losses"]
    )
    return Layers(str(data["workload"]), str(data["bundle_digest"]), int(data["samples"]), str(data["runtime"])[:80], losses)


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e4 < float(value) < 1e4:
        raise ValueError(f"'{value}' is no level or part")
    return float(value)


def accuracy_section(cases: Sequence[Case], layers: Sequence[Layers]) -> Section:
    """Return what INT8 loses by workload and, where that was worked out, by tensor."""
    by_place: dict[tuple[object, ...], dict[str, Case]] = {}
    for case in cases:
        if case.measured and case.record.metrics.get("accuracy") is not None:
            by_place.setdefault((case.key[0], case.key[3]), {}).setdefault(case.key[2], case)
    rows = tuple(_row(there["int8"], there.get("fp32") or there.get("fp16")) for there in by_place.values() if "int8" in there)
    heading = Phrase("feedback.accuracy.heading")
    blocks: list[Paragraph | Grid | Notice] = []
    if rows:
        names = ("int8", "wide", "reference", "loss", "required")
        blocks.append(Paragraph((Phrase("feedback.accuracy.lead"),)))
        blocks.append(
            Grid(
                name="int8-loss",
                caption=Phrase("feedback.accuracy.caption"),
                columns=(
                    Column(Phrase("document.column.workload")),
                    *(Column(Phrase(f"feedback.accuracy.{name}"), True) for name in names),
                    Column(Phrase("document.column.verdict")),
                ),
                rows=rows,
            )
        )
    else:
        blocks.append(Paragraph((Phrase("feedback.accuracy.none"),)))
    digests = {case.record.bundle.digest: case for case in cases}
    mine = [each for each in layers if each.bundle_digest in digests]
    if mine:
        blocks.append(Notice("note", Phrase("feedback.layers.reference")))
        blocks += [_grid(each, digests[each.bundle_digest], n) for n, each in enumerate(mine, start=1)]
    else:
        blocks.append(Paragraph((Phrase("feedback.layers.none"),)))
    return Section("accuracy", heading, tuple(blocks))


def _row(own: Case, wide: Case | None) -> Row:
    bundle = own.record.bundle
    unit = bundle.metric_unit
    figure = own.record.metrics["accuracy"]
    other = wide.record.metrics["accuracy"] if wide is not None else absent(unit, "not measured")
    against = other.value if other.value is not None else bundle.reference
    runs = own.runs + (wide.runs if wide is not None else ())
    lost = None if figure.value is None else (against - figure.value) * (1 if bundle.higher_is_better else -1)
    passed = own.finding("accuracy-gate") is None
    mark = Mark("pass" if passed else "fail", Phrase("document.mark.pass" if passed else "document.mark.fail"))
    cells = (
        Cell(figure, own.runs),
        Cell(other, wide.runs if wide is not None else ()),
        Cell(Estimate(bundle.reference, unit), own.runs),
        Cell(Estimate(lost, unit) if lost is not None else absent(unit, "not measured"), runs),
        Cell(Setting(bundle.required, "" if unit == "ratio" else unit), own.runs),
        Cell(mark, own.runs),
    )
    return Row(Cell(Titles(bundle.title, bundle.workload), own.runs), cells)


def _grid(layers: Layers, case: Case, number: int) -> Grid:
    worst = sorted(layers.losses, key=lambda each: -each.added)[:MOST_LAYERS]
    rows = tuple(
        Row(
            Cell(Text(each.tensor)),
            (Cell(Text(each.operator)), Cell(Estimate(each.added, "share")), Cell(Setting(each.sqnr_db, "dB"))),
        )
        for each in worst
    )
    where: dict[str, Value] = {"workload": Titles(case.record.bundle.title, layers.workload), "count": len(layers.losses)}
    return Grid(
        name=f"layers-{number}-{layers.workload}",
        caption=Phrase("feedback.layers.caption", where),
        columns=(
            Column(Phrase("feedback.layers.tensor")),
            Column(Phrase("feedback.layers.operator")),
            Column(Phrase("feedback.layers.added"), True),
            Column(Phrase("feedback.layers.sqnr"), True),
        ),
        rows=rows,
        remarks=(Phrase("feedback.layers.rule", {"samples": layers.samples, "runtime": layers.runtime}),),
    )
