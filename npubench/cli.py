"""The verbs, read aloud: what each takes, and which file does it.

Imports nothing heavy before a verb is chosen, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

try:
    import typer
except ModuleNotFoundError:
    sys.stderr.write("npubench: the command needs more than the base install; run: pip install 'npubench[standard]'\n")
    raise SystemExit(2) from None

from npubench import __version__
from npubench.errors import NpubenchError

app = typer.Typer(
    name="npubench",
    help="Measure AI accelerators so that a hostile reader must believe it: latency, throughput, perf-per-watt.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

StoreOption = Annotated[Path, typer.Option("--store", envvar="NPUBENCH_STORE", help="Folder of records.")]
HostOption = Annotated[Path | None, typer.Option("--host", help="Host file (testbed.toml): what targets are on this machine.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_STORE = Path("npubench-store")

#: Design §10: the exit code of a command that was interrupted.
_INTERRUPTED = 130


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"npubench {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Measure AI accelerators so that a hostile reader must believe it."""


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
    store: StoreOption = _STORE,
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
    store: StoreOption = _STORE,
    host: HostOption = None,
    round: Annotated[str, typer.Option("--round", help="A label for measuring the same plan again, such as a date.")] = "",
    metrics_port: Annotated[
        int | None, typer.Option("--metrics-port", help="Show live readings as OpenMetrics text on this port.", min=0, max=65535)
    ] = None,
    metrics_host: Annotated[
        str, typer.Option("--metrics-host", help="The address that --metrics-port listens on.")
    ] = "127.0.0.1",
) -> None:
    """Run a suite and keep every record; the same command goes on where it stopped.

    Example: npubench run demo --store my-store
    Example: npubench run --model my.onnx --shape x=1x3x224x224
    Example: npubench run --model my.onnx --ep-library libmy_provider.so
    Example: npubench run demo --metrics-port 9100
    """
    from npubench.verbs.start import run_model, run_named

    metrics = None if metrics_port is None else (metrics_host, metrics_port)

    if (model is None) == (not suite):
        raise typer.BadParameter("give either a suite or --model FILE", param_hint="SUITE")
    if model is not None:
        raise typer.Exit(run_model(model, shape or [], int8, store, host, round, ep_library, metrics))
    if ep_library:
        raise typer.BadParameter(
            "goes with --model; a suite's target names a library in env = { NPUBENCH_ORT_EP_LIBRARY = … }",
            param_hint="--ep-library",
        )
    raise typer.Exit(run_named(suite, store, host, round, metrics))


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="A target, target/precision, key=value,… or a folder.")],
    b: Annotated[str, typer.Argument(help="The same, compared against.")],
    store: StoreOption = _STORE,
    html: Annotated[Path | None, typer.Option("--html", help="Write the comparison as one HTML file.")] = None,
    language: Annotated[str, typer.Option("--language", help="Of the HTML file: ko or en.")] = "ko",
    json: JsonOption = False,
) -> None:
    """Compare A with B: paired ratios with intervals, a rank test, and everything that differs.

    Example: npubench compare cpu-all/fp32 cpu-all/int8
    """
    from npubench.verbs.compare import compare_sides

    raise typer.Exit(compare_sides(a, b, store, html, language, json))


@app.command()
def report(
    store: StoreOption = _STORE,
    out: Annotated[Path | None, typer.Option("--out", help="The HTML file; by default beside the records.")] = None,
    baseline: Annotated[str, typer.Option("--baseline", help="The subject that ratios are against, as target/precision.")] = "",
    suite: Annotated[str, typer.Option("--suite", help="Only the runs of this suite.")] = "",
    language: Annotated[str, typer.Option("--language", help="ko or en.")] = "ko",
) -> None:
    """Write the comparison of everything in a store as one HTML file; its path is the last line.

    Example: npubench report --store my-store --language en
    """
    from npubench.verbs.report import write_report

    raise typer.Exit(write_report(store, out, baseline, suite, language))


export = typer.Typer(help="Hand a run on in the form another tool reads.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(export, name="export")


@export.command("power")
def export_power(
    run: Annotated[str, typer.Argument(help="A run's id in the store, or its folder.")],
    out: Annotated[Path, typer.Option("--out", help="The folder to write to.")],
    store: StoreOption = _STORE,
    domain: Annotated[str, typer.Option("--domain", help="chip, card, board, host or wall; the best evidence if left out.")] = "",
    evidence: Annotated[str, typer.Option("--evidence", help="As in the record, such as 'wall meter'.")] = "",
    json: JsonOption = False,
) -> None:
    """Write a run's power log as MLPerf's power tools read it (spl.txt), beside LoadGen's logs; nothing is left out.

    Example: npubench export power my-store/HOST/RUN --out power-log
    """
    from npubench.verbs.export import export_power

    raise typer.Exit(export_power(run, store, out, domain, evidence, json))


@app.command()
def check(
    backend: Annotated[str, typer.Argument(help="The backend's name, as in 'npubench devices'.")],
    device: Annotated[str, typer.Option("--device", help="The device; the first one found where none is named.")] = "",
    option: Annotated[list[str] | None, typer.Option("--option", help="An option of the backend, KEY=VALUE.")] = None,
    artefact: Annotated[Path | None, typer.Option("--artefact", help="A ready artefact, where nothing is compiled here.")] = None,
    workload: Annotated[str, typer.Option("--workload", help="The workload that gives model and inputs.")] = "",
    model: Annotated[Path | None, typer.Option("--model", help="An ONNX file of your own, with generated inputs.")] = None,
    python: Annotated[str, typer.Option("--python", help="The interpreter that has the plug-in.")] = "",
    env: Annotated[list[str] | None, typer.Option("--env", help="Added to its environment, NAME=VALUE.")] = None,
    ep_library: Annotated[
        str, typer.Option("--ep-library", help="A plug-in execution provider of ONNX Runtime: FILE or NAME=FILE.")
    ] = "",
    only: Annotated[list[str] | None, typer.Option("--only", help="Only this check, or this family of checks.")] = None,
    queries: Annotated[int, typer.Option("--queries", help="How many queries must all come back.", min=1)] = 10_000,
    deadline: Annotated[float | None, typer.Option("--deadline", help="The most a check may take, s.", min=0.1)] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write the results as JUnit XML.")] = None,
    json: JsonOption = False,
) -> None:
    """Check whether a plug-in can be trusted: exit code 0 if no check failed, 1 if some did.

    Checks that need a device are skipped where there is none, with the reason.

    Example: npubench check onnxruntime
    Example: npubench check acme --artefact model.acme --python /opt/acme/bin/python --junit acme.xml
    """
    from npubench.verbs.check import Asked, check_backend

    asked = Asked(
        backend=backend,
        device=device,
        options=option or [],
        artefact=artefact,
        workload=workload,
        model=model,
        python=python,
        env=env or [],
        ep_library=ep_library,
        only=only or [],
        queries=queries,
        deadline=deadline,
        as_json=json,
        junit=junit,
    )
    raise typer.Exit(check_backend(asked))


@app.command("new-backend")
def new_backend(
    name: Annotated[str, typer.Argument(help="The backend's name: lower-case letters, digits and hyphens.")],
    into: Annotated[Path, typer.Option("--into", help="The folder that npubench-NAME is made in.")] = Path(),
) -> None:
    """Make a plug-in to begin with: a distribution that installs and passes its checks as it is.

    Example: npubench new-backend acme-npu
    """
    from npubench.verbs.new_backend import new_backend

    raise typer.Exit(new_backend(name, into))


@app.command()
def calibrate(
    store: StoreOption = _STORE,
    seconds: Annotated[float, typer.Option("--seconds", help="Length of each window.", min=1.0)] = 5.0,
    energy: Annotated[
        bool, typer.Option("--energy", help="Only hold energy against the truth, over courses of power and kinds of sensor.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", help="With --energy: write the table as this Markdown file.")] = None,
    json: JsonOption = False,
) -> None:
    """Measure the instrument itself: what it adds, and how far its figures are from a known truth.

    Example: npubench calibrate --store my-store
    Example: npubench calibrate --energy
    """
    if energy:
        from npubench.verbs.energy_accuracy import show_energy_accuracy

        raise typer.Exit(show_energy_accuracy(out, json))
    if out is not None:
        raise typer.BadParameter("goes with --energy", param_hint="--out")
    from npubench.verbs.calibrate import calibrate_system

    raise typer.Exit(calibrate_system(store, seconds, json))


@app.command()
def schema(
    of: Annotated[str, typer.Argument(help="record, suite or host.")] = "record",
) -> None:
    """Print the JSON Schema of a format.

    Example: npubench schema record > record.schema.json
    """
    from npubench.verbs.schema import print_schema

    raise typer.Exit(print_schema(of))


def main() -> None:
    """Run the command; every error of the user's or of a target ends as one sentence and an exit code."""
    # A polite kill is the user's interrupt: the worker's group dies with it, finished runs stay.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        result: Any = app(standalone_mode=False)
    except NpubenchError as error:
        _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        result = _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has left; there is nobody to complain to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] in ("typer", "click") and hasattr(error, "format_message"):
            if type(error).__name__ == "NoArgsIsHelpError":
                sys.stderr.write(error.format_message() + "\n")
                raise SystemExit(2) from None
            _complain(error.format_message(), 2)
        raise
    if result == _INTERRUPTED:  # typer's own word for an interrupt as well; no verb returns it
        _complain("interrupted; every finished run is kept, the same command goes on from there", _INTERRUPTED)
    raise SystemExit(result if isinstance(result, int) else 0)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _complain(sentence: str, code: int) -> None:
    sys.stderr.write(f"npubench: {sentence}\n")
    raise SystemExit(code)


if __name__ == "__main__":
    main()
