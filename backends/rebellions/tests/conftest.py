"""A stand-in for the command ``rbln-smi``: real payload shapes, replayed by a program on PATH."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FAKE = Path(__file__).parent / "fake"


def entry(index: int, **changed: Any) -> dict[str, Any]:
    """One device as rbln-smi writes it, captured on hosts with RBLN-CA22."""
    return {
        "npu": index,
        "name": "RBLN-CA22",
        "sid": "0000000022500042",
        "uuid": f"uuid-{index}",
        "device": f"rbln{index}",
        "status": "normal",
        "fw_ver": "3.0.0",
        "pci": {"dev": "0x1220", "bus_id": f"0000:0{index}:00.0", "numa_node": "0", "link_speed": "32.0GT/s", "link_width": "16"},
        "temperature": "31C",
        "card_power": "17521800uW",
        "pstate": "P14",
        "memory": {"used": "0", "total": "16877879296"},
        "util": "0.0",
        "board_info": "0005000c",
        "location": 5,
    } | changed


@pytest.fixture(scope="session")
def npu() -> Callable[..., dict[str, Any]]:
    """Return ``npu(index, **changed)``: one device of a payload."""
    return entry


@pytest.fixture(scope="session")
def fake_rebel() -> Path:
    """The folder for PYTHONPATH that holds the stand-in for ``rebel``."""
    return FAKE


@pytest.fixture(scope="session")
def smi(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Return ``smi(devices)``: a PATH on which ``rbln-smi`` answers with them, all for -j, one for -b -j -d N.

    ``driver_key`` names the key of the driver's version; ``body`` replaces what the program does.
    """

    def make(devices: list[dict[str, Any]], *, driver_key: str = "KMD_version", body: str = "", name: str = "rbln-smi") -> str:
        folder = tmp_path_factory.mktemp("smi")
        (folder / "all.json").write_text(json.dumps({driver_key: "3.0.0", "devices": devices, "contexts": []}))
        for device in devices:
            one = {driver_key: "3.0.0", "devices": [device], "contexts": []}
            (folder / f"one-{device['device'].removeprefix('rbln')}.json").write_text(json.dumps(one))
        program = folder / name
        program.write_text(
            "#!/bin/sh\n"
            f"echo . >> {folder}/calls\n"
            + (
                body
                or f'case "$*" in\n-j) cat {folder}/all.json;;\n"-b -j -d "*) cat {folder}/one-"$4".json;;\n'
                '*) echo "rbln-smi: unknown argument" >&2; exit 2;;\nesac\n'
            )
        )
        program.chmod(0o755)
        return f"{folder}{os.pathsep}{os.environ['PATH']}"

    return make
