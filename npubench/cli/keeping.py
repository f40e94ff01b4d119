"""The verbs of evidence: sealing and verifying records, handing them on, and their formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from npubench.cli.app import STORE, JsonOption, StoreOption, app

export = typer.Typer(help="Hand a run on in the form another tool reads.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(export, name="export")


@export.command("power")
def export_power(
    run: Annotated[str, typer.Argument(help="A run's id in the store, or its folder.")],
    out: Annotated[Path, typer.Option("--out", help="The folder to write to.")],
    store: StoreOption = STORE,
    domain: Annotated[str, typer.Option("--domain", help="chip, card, board, host or wall; the best evidence if left out.")] = "",
    evidence: Annotated[str, typer.Option("--evidence", help="As in the record, such as 'wall meter'.")] = "",
    json: JsonOption = False,
) -> None:
    """Write a run's power log as MLPerf's power tools read it (spl.txt), beside LoadGen's logs; nothing is left out.

    Example: npubench export power my-store/HOST/RUN --out power-log
    """
    from npubench.verbs.export import export_power

    raise typer.Exit(export_power(run, store, out, domain, evidence, json))


@export.command("mlperf")
def export_mlperf(
    runs: Annotated[list[str], typer.Argument(help="Runs of grade official by id, or their folders.")],
    out: Annotated[Path, typer.Option("--out", help="The folder to write to: new, or empty.")],
    store: StoreOption = STORE,
    submitter: Annotated[str, typer.Option("--submitter", help="Who submits.")] = "",
    division: Annotated[str, typer.Option("--division", help="closed or open.")] = "open",
    suite: Annotated[str, typer.Option("--suite", help="edge or datacenter.")] = "datacenter",
    availability: Annotated[str, typer.Option("--availability", help="available, preview or rdi.")] = "",
    preview: Annotated[bool, typer.Option("--preview", help="Also other grades, marked as no submission in every file.")] = False,
    json: JsonOption = False,
) -> None:
    """Write runs in MLPerf Inference's submission layout, and say which of its checks would not pass.

    Example: npubench export mlperf RUN --out submission --submitter ACME
    """
    from npubench.verbs.export_mlperf import export_mlperf

    raise typer.Exit(export_mlperf(runs, store, out, submitter, division, suite, availability, preview, json))


import_group = typer.Typer(help="Take in what others have published.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(import_group, name="import")


@import_group.callback()
def import_anything() -> None:
    """Take in what others have published; never ranked beside what was measured here."""


@import_group.command("mlperf")
def import_mlperf(
    path: Annotated[Path | None, typer.Argument(help="A clone of a round's published results, or a part of it.")] = None,
    store: StoreOption = STORE,
    round_: Annotated[str, typer.Option("--round", help="The round, such as 3.0; by the path if left out.")] = "",
    listing: Annotated[bool, typer.Option("--list", help="Show the rows that are kept.")] = False,
    json: JsonOption = False,
) -> None:
    """Keep published MLPerf results as reference rows: published, not measured here.

    Example: npubench import mlperf inference_results_v3.0 --store my-store --list
    """
    from npubench.verbs.import_mlperf import import_mlperf

    raise typer.Exit(import_mlperf(path, store, round_, listing, json))


@app.command()
def key(
    out: Annotated[
        Path | None, typer.Option("--out", help="The private key's file; by default in your configuration folder.")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the public part of the key that is there; make none.")] = False,
    json: JsonOption = False,
) -> None:
    """Make the key that seals are signed with, and print its public part; NPUBENCH_KEY_PASSPHRASE locks it.

    Example: npubench key --out testbed-key.pem
    """
    from npubench.verbs.key import make_or_show

    raise typer.Exit(make_or_show(out, show, json))


@app.command()
def seal(
    runs: Annotated[
        list[str] | None, typer.Argument(help="Runs by id, beginning of an id, or folder; the whole store where none is named.")
    ] = None,
    store: StoreOption = STORE,
    out: Annotated[Path | None, typer.Option("--out", help="The file; by default in the store's folder 'seals'.")] = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="The private key's file; by default the one that 'npubench key' made.")
    ] = None,
    unsigned: Annotated[bool, typer.Option("--unsigned", help="Seal without a signature.")] = False,
    json: JsonOption = False,
) -> None:
    """Pack runs and everything beside them into one signed file that anybody can check; its path is the last line.

    Example: npubench seal --store my-store --key testbed-key.pem --out evidence.zip
    """
    from npubench.verbs.seal import seal as seal_store

    raise typer.Exit(seal_store(runs or [], store, out, key, unsigned, json))


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(help="A file that 'npubench seal' wrote, a store, or a run's folder.")],
    trust: Annotated[
        Path | None, typer.Option("--trust", help='The keys you trust: a TOML file with [key.NAME] and public = "…".')
    ] = None,
    previous: Annotated[
        list[Path] | None, typer.Option("--previous", help="Earlier seals of the same store: its folder, or files.")
    ] = None,
    allow_untrusted: Annotated[
        bool, typer.Option("--allow-untrusted", help="Exit code 0 also where no trusted key signed it.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Check digests, chain and signature, and recompute every figure and verdict; needs no network and no plug-in.

    Exit code 0 if everything holds, 1 if something differs, could not be recomputed, or is not trusted.

    Example: npubench verify evidence.zip --trust trusted.toml
    """
    from npubench.verbs.verify import check_evidence

    raise typer.Exit(check_evidence(path, trust, previous or [], allow_untrusted, json))


@app.command()
def schema(
    of: Annotated[str, typer.Argument(help="record, suite or host.")] = "record",
) -> None:
    """Print the JSON Schema of a format.

    Example: npubench schema record > record.schema.json
    """
    from npubench.verbs.schema import print_schema

    raise typer.Exit(print_schema(of))
