"""The verbs for makers of plug-ins: check a backend, begin one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from npubench.cli.app import JsonOption, app


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
