"""The command itself, and the options that several verbs share. Imports nothing heavy, so that ``--help`` answers at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

try:
    import typer
except ModuleNotFoundError:
    sys.stderr.write("npubench: the command needs more than the base install; run: pip install 'npubench[standard]'\n")
    raise SystemExit(2) from None

from npubench import __version__

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
#: Where records lie if nobody says otherwise.
STORE = Path("npubench-store")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"npubench {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Measure AI accelerators so that a hostile reader must believe it."""
