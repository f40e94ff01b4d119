"""``npubench report feedback``: the report for the chip's maker."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from npubench.contract.bundle import Bundle, BundleError, read_bundle
from npubench.errors import InputError, ModelError
from npubench.plan.wheels import npubench_cache
from npubench.record.store import Entry
from npubench.report.feedback import build_feedback
from npubench.report.feedback_accuracy import LAYERS, read_layers
from npubench.report.feedback_cases import of_target
from npubench.verbs.console import err
from npubench.verbs.documents import asked_formats, write_document
from npubench.verbs.report import stored_entries


def write_feedback(target: str, store: Path, layers: bool, out: Path | None, formats: str, language: str) -> int:
    """Write the feedback report of a target in every format that is asked for; the paths are the last lines.

    Raises:
        InputError: No run of the target, no such format or language, or a file cannot be written.
    """
    wanted = asked_formats(formats, out)
    entries = stored_entries(store)
    mine = of_target(entries, target)
    if layers:
        _find_losses(mine, store)
    kept, broken = read_layers(store)
    for name, why in broken.items():
        err.print(f"[yellow]▲ left out, cannot be read:[/] {store / LAYERS / name}: {why}", soft_wrap=True)
    document = build_feedback(entries, target, layers=kept)
    write_document(document, wanted, language, out, store, _file_name(target))
    return 0


def _file_name(target: str) -> str:
    """Return what the files are called: a target's name may hold anything."""
    return "feedback-" + (re.sub(r"[^\w.-]+", "_", target).strip("._")[:80] or "target")


def _find_losses(entries: Sequence[Entry], store: Path) -> None:
    """Work out the losses by tensor of every int8 workload of the target whose bundle is on this machine."""
    # ONNX and its runtime take long to import, and no other report needs them.
    from npubench.plan.layer_loss import SAMPLES, layer_loss, write_losses

    digests = {e.record.bundle.digest: e.record for e in entries if e.record.spec.precision == "int8"}
    if not digests:
        err.print("[yellow]▲ --layers:[/] the target has no run in int8", soft_wrap=True)
    for digest, record in digests.items():
        name = re.sub(r"[^\w.-]+", "_", record.spec.workload)[:80]
        path = store / LAYERS / f"{name}-{digest.removeprefix('sha256:')[:12]}.json"
        if path.exists():
            continue
        bundle = _bundle(digest, Path(record.spec.bundle))
        if bundle is None:
            advice = f"run: npubench workloads prepare {record.spec.workload}"
            err.print(
                f"[yellow]▲ --layers:[/] the bundle of {record.spec.workload} is not on this machine; {advice}", soft_wrap=True
            )
            continue
        try:
            write_losses(path, bundle, layer_loss(bundle), min(SAMPLES, bundle.samples))
        except ModelError as error:
            err.print(f"[yellow]▲ --layers:[/] {error}", soft_wrap=True)
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _bundle(digest: str, first: Path) -> Bundle | None:
    """Return the bundle of a digest: where the run had it, else in the cache."""
    for folder in (first, *sorted((npubench_cache() / "bundles").glob("*"))):
        try:
            bundle = read_bundle(folder)
        except (BundleError, OSError, ValueError):
            continue
        if bundle.digest == digest:
            return bundle
    return None
