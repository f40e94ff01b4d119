"""The verbs of measuring: what is here, what would run, running it, and what the instrument itself costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from npubench.cli.app import STORE, HostOption, JsonOption, StoreOption, app


@app.command()
def devices(
    host: HostOption = None,
    details: Annotated[bool, typer.Option("--details", help="Show what the SDK says of each device.")] = False,
    ep_library: Annotated[
        str, typer.Option("--ep-library", help="A plug-in execution provider of ONNX Runtime: FILE or NAME=FILE.")
    ] = "",
    json: JsonOption = False,
) -> None:
    """List backends and their devices, how far each gets, and what leads further; exit code 0 whatever is missing.

    Example: npubench devices --json
    """
    from npubench.verbs.devices import show_devices

    raise typer.Exit(show_devices(host, json, details, ep_library))


@app.command()
def doctor(
    host: HostOption = None,
    store: StoreOption = STORE,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 if something would spoil a measurement.")] = False,
    json: JsonOption = False,
) -> None:
    """Say what on this machine would spoil a measurement, and what to do about it.

    Example: npubench doctor --strict
    """
    from npubench.verbs.doctor import examine

    raise typer.Exit(examine(host, store, strict, json))


workloads = typer.Typer(help="List, prepare and show workloads.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(workloads, name="workloads")


@workloads.command("list")
def workloads_list(json: JsonOption = False) -> None:
    """List the workloads one knows.

    Example: npubench workloads list
    """
    from npubench.verbs.workloads import list_workloads

    raise typer.Exit(list_workloads(json))


@workloads.command("prepare")
def workloads_prepare(
    names: Annotated[list[str] | None, typer.Argument(help="Workloads; all where none is named.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Make them again even if they are there.")] = False,
) -> None:
    """Make bundles: fetch pinned sources, build models, quantise, run the reference.

    Example: npubench workloads prepare doc-orientation
    """
    from npubench.verbs.workloads import prepare_workloads

    raise typer.Exit(prepare_workloads(names or [], force))


@workloads.command("show")
def workloads_show(name: str, json: JsonOption = False) -> None:
    """Show one workload: sources, gate, precisions, operations.

    Example: npubench workloads show ocr-line
    """
    from npubench.verbs.workloads import show_workload

    raise typer.Exit(show_workload(name, json))


@app.command()
def plan(
    suite: Annotated[str, typer.Argument(help="A suite's name or its .toml file.")],
    host: HostOption = None,
    json: JsonOption = False,
) -> None:
    """Show what a suite would run, without running it.

    Example: npubench plan demo
    """
    from npubench.verbs.plan import show_plan

    raise typer.Exit(show_plan(suite, host, json))


@app.command()
def run(
    suite: Annotated[str, typer.Argument(help="A suite's name or its .toml file; not with --model.")] = "",
    model: Annotated[Path | None, typer.Option("--model", help="An ONNX file of your own, with generated inputs.")] = None,
    shape: Annotated[
        list[str] | None, typer.Option("--shape", help="With --model: a free input's shape, NAME=1x3x224x224.")
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="With --model: measure an INT8 variant as well.")] = False,
    ep_library: Annotated[
        str, typer.Option("--ep-library", help="With --model: run on a plug-in execution provider's devices; FILE or NAME=FILE.")
    ] = "",
    store: StoreOption = STORE,
    host: HostOption = None,
    round: Annotated[str, typer.Option("--round", help="A label for measuring the same plan again, such as a date.")] = "",
    metrics_port: Annotated[
        int | None, typer.Option("--metrics-port", help="Show live readings as OpenMetrics text on this port.", min=0, max=65535)
    ] = None,
    metrics_host: Annotated[
        str, typer.Option("--metrics-host", help="The address that --metrics-port listens on.")
    ] = "127.0.0.1",
    audit: Annotated[bool, typer.Option("--audit", help="Carry out the audits, whatever the grade.")] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Have the runtime time operators after every run, in a process of its own.")
    ] = False,
) -> None:
    """Run a suite and keep every record; the same command goes on where it stopped.

    Example: npubench run demo --store my-store
    Example: npubench run --model my.onnx --shape x=1x3x224x224
    Example: npubench run --model my.onnx --ep-library libmy_provider.so
    Example: npubench run demo --metrics-port 9100
    Example: npubench run demo --audit
    Example: npubench run demo --profile
    """
    from npubench.verbs.start import run_model, run_named

    metrics = None if metrics_port is None else (metrics_host, metrics_port)

    if (model is None) == (not suite):
        raise typer.BadParameter("give either a suite or --model FILE", param_hint="SUITE")
    if model is not None:
        raise typer.Exit(run_model(model, shape or [], int8, store, host, round, ep_library, metrics, audit, profile))
    if ep_library:
        raise typer.BadParameter(
            "goes with --model; a suite's target names a library in env = { NPUBENCH_ORT_EP_LIBRARY = … }",
            param_hint="--ep-library",
        )
    raise typer.Exit(run_named(suite, store, host, round, metrics, audit, profile))


@app.command()
def calibrate(
    store: StoreOption = STORE,
    seconds: Annotated[float, typer.Option("--seconds", help="Length of each window.", min=1.0)] = 5.0,
    energy: Annotated[
        bool, typer.Option("--energy", help="Only hold energy against the truth, over courses of power and kinds of sensor.")
    ] = False,
    statistics: Annotated[
        bool, typer.Option("--statistics", help="Only hold percentiles, intervals and stability rules against made-up runs.")
    ] = False,
    audits: Annotated[bool, typer.Option("--audits", help="Only hold the audits against honest and dishonest plug-ins.")] = False,
    runs: Annotated[int, typer.Option("--runs", help="With --audits: how many honest runs.", min=1)] = 100,
    out: Annotated[
        Path | None, typer.Option("--out", help="With --energy, --statistics or --audits: write the table as this Markdown file.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure the instrument itself: what it adds, and how far its figures are from a known truth.

    Example: npubench calibrate --store my-store
    Example: npubench calibrate --energy
    Example: npubench calibrate --statistics --out statistics.md
    Example: npubench calibrate --audits --runs 100 --out audits.md
    """
    chosen = [name for name, asked in (("--energy", energy), ("--statistics", statistics), ("--audits", audits)) if asked]
    if len(chosen) > 1:
        raise typer.BadParameter(f"goes without {chosen[0]}: each is a table of its own", param_hint=chosen[1])
    if energy:
        from npubench.verbs.energy_accuracy import show_energy_accuracy

        raise typer.Exit(show_energy_accuracy(out, json))
    if statistics:
        from npubench.verbs.statistics import show_statistics

        raise typer.Exit(show_statistics(out, json))
    if audits:
        from npubench.verbs.audit_accuracy import show_audit_accuracy

        raise typer.Exit(show_audit_accuracy(out, json, runs))
    if out is not None:
        raise typer.BadParameter("goes with --energy, --statistics or --audits", param_hint="--out")
    from npubench.verbs.calibrate import calibrate_system

    raise typer.Exit(calibrate_system(store, seconds, json))
