"""The verbs that say what was measured: comparisons, differences, reports."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from npubench.cli.app import STORE, JsonOption, StoreOption, app

OutOption = Annotated[Path | None, typer.Option("--out", help="A file for one format, or a folder; by default the store.")]
FormatOption = Annotated[
    str, typer.Option("--format", help="html, pdf, xlsx, csv, md, json, with commas; by the file's name if left out.")
]
LanguageOption = Annotated[str, typer.Option("--language", "--lang", help="ko or en.")]


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="A target, target/precision, key=value,… or a folder.")],
    b: Annotated[str, typer.Argument(help="The same, compared against.")],
    store: StoreOption = STORE,
    out: Annotated[Path | None, typer.Option("--out", help="Write the report: a file, or a folder.")] = None,
    format: FormatOption = "",
    language: LanguageOption = "ko",
    json: JsonOption = False,
) -> None:
    """Compare A with B: paired ratios with intervals, a rank test, and everything that differs.

    Example: npubench compare cpu-all/fp32 cpu-all/int8
    """
    from npubench.verbs.compare import compare_sides

    raise typer.Exit(compare_sides(a, b, store, out, format, language, json))


@app.command()
def diff(
    a: Annotated[str, typer.Argument(help="A run's id in the store, or its folder.")],
    b: Annotated[str, typer.Argument(help="The same, set beside it.")],
    store: StoreOption = STORE,
    json: JsonOption = False,
) -> None:
    """Show everything that differs between two records: order, system, versions, artefact, and every figure with its ratio.

    Example: npubench diff RUN-A RUN-B --store my-store
    """
    from npubench.verbs.diff import diff_records

    raise typer.Exit(diff_records(a, b, store, json))


report = typer.Typer(rich_markup_mode=None)
app.add_typer(report, name="report", invoke_without_command=True)


@report.callback()
def report_comparison(
    context: typer.Context,
    store: StoreOption = STORE,
    out: OutOption = None,
    format: FormatOption = "",
    baseline: Annotated[str, typer.Option("--baseline", help="The subject that ratios are against, as target/precision.")] = "",
    suite: Annotated[str, typer.Option("--suite", help="Only the runs of this suite.")] = "",
    language: LanguageOption = "ko",
) -> None:
    """Print the comparison of everything in a store and write it as a report; the paths of its files are the last lines.

    Example: npubench report --store my-store --language en
    """
    if context.invoked_subcommand is not None:
        before = [name for name in context.params if "COMMANDLINE" in str(context.get_parameter_source(name))]
        if before:
            raise typer.BadParameter(f"options go behind the report's name: report {context.invoked_subcommand} --{before[0]} …")
        return
    from npubench.verbs.report import write_report

    raise typer.Exit(write_report(store, out, format, baseline, suite, language))


@report.command("procurement")
def report_procurement(
    store: StoreOption = STORE,
    reference: Annotated[
        str,
        typer.Option("--reference", help="The GPU or CPU that candidates stand beside, as target or target/precision."),
    ] = "",
    requirements: Annotated[Path | None, typer.Option("--requirements", help="The requirement sheet, TOML.")] = None,
    cost: Annotated[Path | None, typer.Option("--cost", help="Tariff, PUE, prices and the service's load, TOML.")] = None,
    out: OutOption = None,
    format: FormatOption = "",
    language: LanguageOption = "ko",
) -> None:
    """Write the report to buy by: candidates beside a reference, against a requirement sheet, with cost and sizing.

    Example: npubench report procurement --store my-store --reference gpu/fp16 --requirements sheet.toml --cost cost.toml
    """
    from npubench.verbs.report_procurement import write_procurement

    raise typer.Exit(write_procurement(store, reference, requirements, cost, out, format, language))


@report.command("feedback")
def report_feedback(
    target: Annotated[str, typer.Argument(help="The target, as target or target/precision.")],
    store: StoreOption = STORE,
    layers: Annotated[bool, typer.Option("--layers", help="Also find which tensors INT8 loses most at, on the CPU.")] = False,
    out: OutOption = None,
    format: FormatOption = "",
    language: LanguageOption = "ko",
) -> None:
    """Write the report for the chip's maker: what to fix first, by what it would gain, with evidence.

    Example: npubench report feedback npu-a --store my-store
    """
    from npubench.verbs.report_feedback import write_feedback

    raise typer.Exit(write_feedback(target, store, layers, out, format, language))


@report.command("nightly")
def report_nightly(
    store: StoreOption = STORE,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write what got worse or is missing as JUnit XML.")] = None,
    out: OutOption = None,
    format: FormatOption = "",
    language: LanguageOption = "ko",
) -> None:
    """Write the page of the morning: what changed since the night before, what is missing, what is noisy.

    Exit code 1 where something got worse or is missing.

    Example: npubench report nightly --store night-store --junit night.xml
    """
    from npubench.verbs.report_nightly import write_nightly

    raise typer.Exit(write_nightly(store, junit, out, format, language))


@app.command()
def serve(
    store: Annotated[Path, typer.Argument(envvar="NPUBENCH_STORE", help="Folder of records.")] = STORE,
    port: Annotated[int, typer.Option("--port", help="The port to listen on; 0 takes a free one.", min=0, max=65535)] = 8000,
    host: Annotated[str, typer.Option("--host", help="The address to listen on; this machine alone unless asked.")] = "127.0.0.1",
) -> None:
    """Show a store in a browser on this machine: runs, comparison, reports, down to the slowest queries; writes nothing.

    Example: npubench serve my-store --port 0
    """
    from npubench.verbs.serve import serve_store

    raise typer.Exit(serve_store(store, host, port))
