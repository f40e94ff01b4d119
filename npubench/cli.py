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
def devices(host: HostOption = None, json: JsonOption = False) -> None:
    """List backends and their devices, and how far each gets.

    Example: npubench devices --json
    """
    from npubench.verbs.devices import show_devices

    raise typer.Exit(show_devices(host, json))


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
    store: StoreOption = _STORE,
    host: HostOption = None,
    round: Annotated[str, typer.Option("--round", help="A label for measuring the same plan again, such as a date.")] = "",
) -> None:
    """Run a suite and keep every record; the same command goes on where it stopped.

    Example: npubench run demo --store my-store
    Example: npubench run --model my.onnx --shape x=1x3x224x224
    """
    from npubench.verbs.start import run_model, run_named

    if (model is None) == (not suite):
        raise typer.BadParameter("give either a suite or --model FILE", param_hint="SUITE")
    if model is not None:
        raise typer.Exit(run_model(model, shape or [], int8, store, host, round))
    raise typer.Exit(run_named(suite, store, host, round))


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


@app.command()
def calibrate(
    store: StoreOption = _STORE,
    seconds: Annotated[float, typer.Option("--seconds", help="Length of each window.", min=1.0)] = 5.0,
    json: JsonOption = False,
) -> None:
    """Measure the instrument itself: what it adds, and how far its figures are from a known truth.

    Example: npubench calibrate --store my-store
    """
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
