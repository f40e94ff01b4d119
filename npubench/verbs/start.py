"""Begin ``npubench run``: read what was asked for, a suite or a model of the user's own, and carry it out."""

from __future__ import annotations

import re
from pathlib import Path

from npubench.contract.availability import Rung
from npubench.errors import InputError, TargetError
from npubench.measure.survey import survey
from npubench.plan.suite import Precision, RunEntry, SuiteFile, TargetEntry, read_host, read_suite
from npubench.plan.wheels import npubench_cache
from npubench.record.store import Store
from npubench.verbs.console import err
from npubench.verbs.devices import places_of
from npubench.verbs.prepare import host_path
from npubench.verbs.run import run_suite


def run_named(
    name: str,
    store: Path,
    host: Path | None,
    round_label: str,
    metrics: tuple[str, int] | None = None,
    audit: bool = False,
    profile: bool = False,
) -> int:
    """Run a suite by name or file, with audits, profiles and live metrics on a port if asked for; returns the exit code."""
    suite, where = read_suite(name)
    return run_suite(suite, where, read_host(host_path(host)), Store(store), round_label, None, metrics, audit, profile)


def run_model(
    model: Path,
    shapes: list[str],
    int8: bool,
    store: Path,
    host: Path | None,
    round_label: str,
    ep_library: str = "",
    metrics: tuple[str, int] | None = None,
    audit: bool = False,
    profile: bool = False,
) -> int:
    """Run an ONNX file of the user's own on the CPU, and on a plug-in provider's devices or else on one thread as well.

    Args:
        model: The ONNX file.
        shapes: ``NAME=1x3x224x224`` for every input whose shape is free.
        int8: Measure an INT8 variant as well.
        store: Folder of records.
        host: The host file.
        round_label: A label for measuring the same again.
        ep_library: The library of an ONNX Runtime execution provider, ``FILE`` or ``NAME=FILE``; "" = none.
        metrics: Host and port to show OpenMetrics text on; None = nowhere.
        audit: Carry out the audits.
        profile: Profile operators after every run.

    Returns:
        The exit code.

    Raises:
        ModelError: The file cannot be used; one sentence with the file and the way out.
        InputError: There is no such library.
        TargetError: The library shows no device here.
    """
    from npubench.plan.usermodel import bundle_for_model, fidelity  # ONNX, which a suite needs only to make bundles

    targets = {"cpu-all": TargetEntry(backend="onnxruntime", device="cpu")}
    if not ep_library:
        targets["cpu-1"] = TargetEntry(backend="onnxruntime", device="cpu", options={"threads": 1})
    else:
        targets |= _provider_targets(ep_library)
    precisions: tuple[Precision, ...] = ("fp32", "int8") if int8 else ("fp32",)
    err.print(f"[dim]making a bundle of {model}[/]")
    bundle = bundle_for_model(model, npubench_cache(), shapes=_shapes(shapes), precisions=precisions)
    suite = SuiteFile(
        schema_version=1,
        name=f"model-{bundle.workload}",
        grade="smoke",
        target=targets,
        run=[
            RunEntry(
                targets=list(targets),
                workloads=[bundle.workload],
                precisions=list(precisions),
                scenarios=["single-stream", "offline"],
                batch=1 if bundle.inputs[0].shape[0] is not None else None,
            )
        ],
    )
    known = {bundle.workload: (bundle, fidelity)}
    return run_suite(suite, model, read_host(host_path(host)), Store(store), round_label, known, metrics, audit, profile)


def _provider_targets(library: str) -> dict[str, TargetEntry]:
    """Return a target for every device that the provider in ``library`` shows here."""
    env = dict(places_of(read_host(None), library)[0].env)
    seen = survey("onnxruntime", env=env).availability
    if seen.rung < Rung.READY:
        raise TargetError(f"--ep-library {library}: {seen.rung.word}: {seen.reason}")
    found = {
        device.name.replace(":", "-"): TargetEntry(backend="onnxruntime", device=device.name, env=env)
        for device in seen.devices
        if "library" in device.details
    }
    if not found:
        raise TargetError(f"--ep-library {seen.advice or f'{library}: shows no device'}")
    return found


def _shapes(given: list[str]) -> dict[str, tuple[int, ...]] | None:
    """Read ``NAME=1x3x224x224``."""
    found = {}
    for text in given:
        matched = re.fullmatch(r"([^=]+)=(\d+(?:[x,]\d+)*)", text)
        if matched is None:
            raise InputError(f"--shape {text}: write it as NAME=1x3x224x224")
        found[matched[1]] = tuple(int(n) for n in re.split("[x,]", matched[2]))
    return found or None
