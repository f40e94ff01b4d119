"""What is published installs, and its base level runs a worker with numpy and mlcommons-loadgen alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

SUITE = """
schema_version = 1
name = "base"
grade = "smoke"

[target.sim]
backend = "simulated"
device = "sim:plain"
python = "{python}"

[[run]]
targets = ["sim"]
workloads = ["probe"]
"""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps", "-w", folder, ROOT]
    subprocess.run(command, check=True)
    return next(folder.glob("npubench-*.whl"))


def oldest() -> str:
    """Python 3.10 where the machine has a working one, else this one."""
    old = shutil.which("python3.10")
    works = old is not None and subprocess.run([old, "-c", "import venv"], capture_output=True, check=False).returncode == 0
    return old if works and old is not None else sys.executable


@pytest.fixture(scope="session")
def base(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with the base level and nothing else; of Python 3.10 where the machine has one."""
    folder = tmp_path_factory.mktemp("base") / "venv"
    subprocess.run([oldest(), "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel], check=True)
    return python


def bare(python: Path, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [str(python), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd="/",
        **options,  # type: ignore[call-overload]
    )


def test_the_wheel_holds_code_manifests_graphs_templates_and_catalogues(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"npubench", "npubench_models", "npubench_reports"}
    for wanted in (
        "npubench/py.typed",
        "npubench/verbs/template/pyproject.toml",
        "npubench_models/suites/demo.toml",
        "npubench_models/workloads/ocr_line.toml",
        "npubench_models/graphs/sst_net.npz",
        "npubench_reports/catalogues/ko.po",
        "npubench_reports/templates/document.html.j2",
    ):
        assert wanted in names


def test_the_base_level_installs_two_packages_and_imports_contract_worker_and_sampler(base: Path) -> None:
    listed = json.loads(bare(base, "-m", "pip", "list", "--format", "json", "--disable-pip-version-check").stdout)
    assert {package["name"].lower() for package in listed} - {"pip", "setuptools"} == {"npubench", "numpy", "mlcommons_loadgen"}
    done = bare(
        base, "-c", "import npubench.contract, npubench.measure.worker, npubench.measure.sampler, npubench.testing.simulated"
    )
    assert done.returncode == 0, done.stderr


def test_without_the_standard_level_the_command_says_what_to_install(base: Path) -> None:
    done = bare(base, "-m", "npubench", "--help")
    assert done.returncode == 2
    assert "pip install 'npubench[standard]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_in_the_base_level_s_interpreter(base: Path, tmp_path: Path) -> None:
    suite = tmp_path / "base.toml"
    suite.write_text(SUITE.format(python=base), encoding="utf-8")
    store = tmp_path / "store"
    done = subprocess.run(
        [sys.executable, "-m", "npubench", "run", suite, "--store", store],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    record = json.loads(next(store.glob("*/*/record.json")).read_text(encoding="utf-8"))
    # On a busy machine a rule on the course of a run of a second may fail; the run itself must come through.
    assert record["status"] in ("ok", "invalid"), record["reason"]
    assert done.returncode == (record["status"] != "ok"), done.stderr
    assert record["provenance"]["interpreter"] == str(base)
    assert "pydantic" not in record["system"]["packages"]
    joules = record["energy"][0]["joules"]
    assert (joules["value"] or 0) > 0 or joules["reason"].startswith("readings cover")
