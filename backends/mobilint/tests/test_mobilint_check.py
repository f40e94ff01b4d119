"""``npubench check mobilint`` with the SDK absent, with the published wheels and no device, and on stand-ins of both families."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from npubench_mobilint import presence

FAKE = Path(__file__).parent / "fake"
#: Too few for a verdict on loss, enough for every check to run; the command asks for 10,000.
QUERIES = 400


@pytest.fixture(scope="module")
def real(vendor_python: Callable[..., Path]) -> Path:
    return vendor_python("mobilint", "mobilint-qb-runtime==1.5.0", "mobilint-ml==1.5.0")


def found(place: Any, *arguments: Any) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return the exit code, and what each check found by its name."""
    said = place("check", "mobilint", "--json", "--queries", QUERIES, *arguments)
    assert said.code in (0, 1), said.err
    return said.code, {check["name"]: check for check in json.loads(said.out)["checks"]}


def failures(checks: dict[str, dict[str, Any]]) -> list[str]:
    return [f"{name}: {check['seen']}" for name, check in checks.items() if check["status"] == "failed"]


def test_without_the_runtime(place: Any, vendor_python: Callable[..., Path]) -> None:
    code, checks = found(place("check-absent"), "--python", vendor_python("mobilint"))
    assert failures(checks) == []
    assert code == 0
    assert "not_installed" in checks["identity/ladder"]["seen"]
    assert checks["identity/devices"]["status"] == "skipped"


@pytest.mark.skipif(presence.driver_loaded(presence.MODULES, presence.DEVICE_FILES), reason="this machine has Mobilint's driver")
def test_with_the_published_wheels_and_no_device(place: Any, real: Path) -> None:
    code, checks = found(place("check-bare"), "--python", real)
    assert failures(checks) == []
    assert code == 0
    assert "driver_missing" in checks["identity/ladder"]["seen"]
    assert checks["identity/devices"]["status"] == "skipped"


@pytest.mark.parametrize(
    ("name", "target_type", "node", "options", "facts"),
    [
        ("aries-rb", 3, "/dev/aries0", ["core_mode=multi", "batch=4"], {"modes": ["multi"]}),
        ("aries-rb", 3, "/dev/aries0", ["core_mode=global8", "asynchronous=true", "slots=3"], {"modes": ["global8"]}),
        ("regulus-rb", 4, "/dev/regulus-npu0", ["core_mode=single", "asynchronous=true", "slots=1"], {}),
    ],
)
def test_on_a_stand_in(
    place: Any, toy: Any, real: Path, name: str, target_type: int, node: str, options: list[str], facts: dict[str, Any]
) -> None:
    here = place("check-device")
    artefact = toy.artefact(here.folder / "toy.mxq", devices=[name], **facts)
    env = {
        "PYTHONPATH": os.pathsep.join([str(FAKE / "runtime"), str(FAKE / "meter_new")]),
        "FAKE_MOBILINT": json.dumps({"devices": {name: [0]}}),
        "FAKE_MBLTML": json.dumps({"devices": [[target_type, node]]}),
    }
    arguments = [argument for key, value in env.items() for argument in ("--env", f"{key}={value}")]
    arguments += [argument for option in options for argument in ("--option", option)]
    code, checks = found(here, "--python", real, "--artefact", artefact, "--workload", "toy", *arguments)
    assert failures(checks) == []
    assert code == 0
    assert [name for name, check in checks.items() if check["missing"]] == []
    assert checks["identity/ladder"]["seen"].startswith("ready")
    assert ("power" in checks["sensors/declared"]["seen"]) is (name == "aries-rb")
