"""Every name the plug-in and the stand-ins use exists in the vendor's packages, with those parameters.

The lists under ``surface/`` are compared with the published wheels, installed in an environment of their own; the stand-ins and
the plug-in's own source with the lists. That proves names and calls, and not that a chip does what they say.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SOURCE = TESTS.parent / "npubench_mobilint"
#: What the plug-in's source calls the vendor's objects.
OBJECTS = {"module", "config", "model", "accelerator", "future", "scale", "core"}


def listed(name: str) -> dict[str, str | int]:
    found: dict[str, str | int] = json.loads((TESTS / "surface" / f"{name}.json").read_text())
    return found


def read(python: Path | str, package: str, path: Path | None = None) -> dict[str, str | int]:
    env = {**os.environ, "PYTHONPATH": str(path or "")}
    said = subprocess.run([python, TESTS / "surface" / "read.py", package], capture_output=True, text=True, check=True, env=env)
    found: dict[str, str | int] = json.loads(said.stdout)
    return found


@pytest.mark.parametrize(
    ("requirements", "package", "name"),
    [
        (("mobilint-qb-runtime==1.5.0", "mobilint-ml==1.5.0"), "qbruntime", "qbruntime_1.5.0"),
        (("mobilint-qb-runtime==1.5.0", "mobilint-ml==1.5.0"), "mbltml", "mobilint_ml_1.5.0"),
        (("mobilint-qb-runtime==1.5.0", "mbltml==0.0.0"), "mbltml", "mbltml_0.0.0"),
    ],
)
def test_the_lists_are_those_of_the_wheels(
    vendor_python: Callable[..., Path], requirements: tuple[str, ...], package: str, name: str
) -> None:
    assert read(vendor_python("mobilint", *requirements), package) == listed(name)


@pytest.mark.parametrize(
    ("folder", "package", "name"),
    [
        ("runtime", "qbruntime", "qbruntime_1.5.0"),
        ("meter_new", "mbltml", "mobilint_ml_1.5.0"),
        ("meter_old", "mbltml", "mbltml_0.0.0"),
    ],
)
def test_the_stand_ins_have_nothing_that_the_vendor_has_not(folder: str, package: str, name: str) -> None:
    real = listed(name)
    fake = read(sys.executable, package, TESTS / "fake" / folder)
    # The stand-in's plain attributes are the vendor's properties; a class without __init__ of its own is as good.
    assert {key: value for key, value in fake.items() if real.get(key) != value} == {}
    assert len(fake) > 10


def test_the_plug_in_uses_names_of_the_runtime_alone() -> None:
    known = {part for key in listed("qbruntime_1.5.0") for part in key.split(".")}
    enums = {part for value in listed("qbruntime_1.5.0").values() for part in re.split(r"[:, ]+", str(value))}
    used = set()
    for name in ("session", "executor", "tensors", "presence"):
        for node in ast.walk(ast.parse((SOURCE / f"{name}.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                owner = node.value
                if (isinstance(owner, ast.Name) and owner.id in OBJECTS) or (
                    isinstance(owner, ast.Attribute) and owner.attr in {"_model", "module"}
                ):
                    used.add(node.attr)
    assert used - known == set()
    assert {"force_single_npu_bundle", "infer_async", "get_input_scale", "get_available_device_numbers"} <= used
    from npubench_mobilint.tensors import NATIVE

    assert set(NATIVE) <= enums


def test_every_name_of_the_meter_is_in_one_of_its_shapes_and_the_common_ones_in_both() -> None:
    new, old = listed("mobilint_ml_1.5.0"), listed("mbltml_0.0.0")
    used = set(re.findall(r"\b(?:mbltml[A-Z]\w+|MBLTML_\w+)", (SOURCE / "telemetry.py").read_text(encoding="utf-8")))
    assert used - (set(new) | set(old)) == set()
    from npubench_mobilint.telemetry import FAMILIES, READS, TARGETS

    for function in READS.values():
        assert (new[function], old[function]) == ("target_device_type, dev_no", "dev_no")
    assert set(TARGETS) <= set(new)
    assert set(FAMILIES) <= set(old)
    assert new["MBLTML_TARGET_DEVICE_REGULUS_RB"] == old["MBLTML_DEVICE_REGULUS_USB"] == 4


def test_the_names_that_tell_the_generations_apart_do() -> None:
    assert "mbltmlGetTargetDeviceCount" in listed("mobilint_ml_1.5.0")
    assert "mbltmlGetTargetDeviceCount" not in listed("mbltml_0.0.0")
