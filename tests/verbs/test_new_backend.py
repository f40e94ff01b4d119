"""What ``npubench new-backend`` writes installs, is listed, passes its checks and runs a suite, before anyone touches it.

The distribution is really built and installed, as its maker would install it; ONNX Runtime's CPU computes what is checked.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tomllib
from typer.testing import CliRunner

from npubench.cli import app
from npubench.errors import InputError
from npubench.verbs import new_backend as verb
from npubench.verbs.new_backend import new_backend, rename, template_files, template_folder

ROOT = Path(__file__).parents[2]
NAME = "acme-npu"


@dataclass(frozen=True)
class Made:
    """A generated distribution, installed into a folder for PYTHONPATH."""

    folder: Path
    environment: dict[str, str]

    def __call__(self, *arguments: Any, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run ``python -m ARGUMENTS`` where it is installed."""
        return subprocess.run(
            [sys.executable, "-m", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env=self.environment,
            cwd=cwd or self.folder.parent,
            timeout=300,
        )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    place = tmp_path_factory.mktemp("made")
    site, temporary = place / "site", place / "tmp"
    temporary.mkdir()
    assert new_backend(NAME, place) == 0
    folder = place / f"npubench-{NAME}"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target", site]
    subprocess.run([*install, folder], check=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NPUBENCH_", "XDG_", "PYTEST_"))}
    own = {"NPUBENCH_CACHE": place / "cache", "XDG_CONFIG_HOME": place / "config", "TMPDIR": temporary}
    return Made(folder, {**kept, **{key: str(value) for key, value in own.items()}, "COLUMNS": "160", "PYTHONPATH": str(site)})


def test_devices_lists_it_as_ready_and_simulated(made: Made) -> None:
    done = made("npubench", "devices", "--json")
    assert done.returncode == 0, done.stderr
    (row,) = [row for row in json.loads(done.stdout) if row["backend"] == NAME]
    assert row["availability"] == "ready"
    assert row["plugin"]["distribution"] == f"npubench-{NAME}"
    assert [(device["name"], device["simulated"]) for device in row["devices"]] == [("cpu", True)]


def test_it_passes_its_checks(made: Made) -> None:
    done = made("npubench", "check", NAME, "--queries", "300")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "conforms" in done.stdout


def test_its_own_tests_pass(made: Made) -> None:
    done = made("pytest", "-q", "-p", "no:cacheprovider", made.folder, cwd=made.folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b[1-9]\d* passed", done.stdout)


def test_a_suite_runs_on_it(made: Made, tmp_path: Path) -> None:
    """With a workload that comes out of tree, as tests/e2e has it."""
    spec = importlib.util.spec_from_file_location("acme_out_of_tree", ROOT / "tests" / "e2e" / "acme.py")
    assert spec is not None
    assert spec.loader is not None
    acme = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(acme)
    site = tmp_path / "site"
    site.mkdir()
    acme.write_acme(site)
    suite = tmp_path / "suite.toml"
    suite.write_text(
        f'schema_version = 1\nname = "first"\ngrade = "smoke"\n[target.card]\nbackend = "{NAME}"\ndevice = "cpu"\n'
        '[[run]]\ntargets = ["card"]\nworkloads = ["acme-sum"]\nscenarios = ["offline"]\n'
    )
    both = Made(made.folder, {**made.environment, "PYTHONPATH": f"{made.environment['PYTHONPATH']}:{site}"})
    done = both("npubench", "run", suite, "--store", tmp_path / "store")
    (record,) = [json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "store").glob("*/*/record.json")]
    # A busy machine may make a run of a second invalid; its outputs are right, and it is measured, all the same.
    assert record["status"] in ("ok", "invalid"), done.stderr
    assert done.returncode == (0 if record["status"] == "ok" else 1), done.stderr
    assert not [finding for finding in record["findings"] if finding["rule"] == "accuracy-gate"]
    assert record["metrics"]["throughput"]["value"] > 0
    assert record["system"]["simulated"] is True
    assert record["provenance"]["plugin"]["distribution"] == f"npubench-{NAME}"


# -- what is written --------------------------------------------------------------------------------------------------


def test_every_name_in_it_is_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new_backend(NAME, tmp_path)
    folder = tmp_path / f"npubench-{NAME}"
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["name"] == f"npubench-{NAME}"
    assert project["project"]["entry-points"]["npubench.backends"] == {NAME: "npubench_acme_npu:AcmeNpuBackend"}
    module = (folder / "npubench_acme_npu" / "__init__.py").read_text(encoding="utf-8")
    assert "class AcmeNpuBackend(Backend)" in module
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in written if "template" in path.read_text(encoding="utf-8").lower() or "template" in path.name]
    said = capsys.readouterr().out
    for path in written:
        assert path.relative_to(folder).as_posix() in said
    for step in ("pip install -e '.[test]'", "npubench devices", f"npubench check {NAME}", "pytest"):
        assert step in said


def test_a_name_that_holds_the_templates_word_is_put_in_once() -> None:
    assert rename("npubench_template TemplateBackend template", "my-template") == (
        "npubench_my_template MyTemplateBackend my-template"
    )


def test_the_module_is_short_and_reads_no_clock() -> None:
    text = (template_folder() / "npubench_template" / "__init__.py").read_text(encoding="utf-8")
    assert len([line for line in text.splitlines() if line.strip()]) <= 60
    imported = {
        name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]
    }
    assert not imported & {"time", "timeit", "datetime"}


def test_what_tools_leave_in_the_template_is_not_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pkg" / "__pycache__").mkdir(parents=True)
    (tmp_path / "pkg" / "__pycache__" / "a.pyc").write_bytes(b"\xff")
    (tmp_path / "pkg" / "a.py").write_text("")
    monkeypatch.setattr(verb, "template_folder", lambda: tmp_path)
    assert template_files() == ["pkg/a.py"]


def test_an_installed_wheel_writes_the_same_as_a_checkout(tmp_path: Path) -> None:
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target"]
    subprocess.run([*install, tmp_path / "site", ROOT], check=True)
    for into, paths in (("wheel", {"PYTHONPATH": str(tmp_path / "site")}), ("checkout", {"PYTHONPATH": str(ROOT)})):
        (tmp_path / into).mkdir()
        command = [sys.executable, "-m", "npubench", "new-backend", NAME, "--into", tmp_path / into]
        subprocess.run(command, check=True, env={**os.environ, **paths}, cwd=tmp_path, capture_output=True)
    wheel, checkout = (
        {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
        for root in (tmp_path / "wheel", tmp_path / "checkout")
    )
    assert (tmp_path / "site" / "npubench" / "verbs" / "template").is_dir()
    assert wheel == checkout
    assert len(wheel) == len(template_files())


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Path]:
    """A folder in which a refusal leaves nothing."""
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Acme_NPU", "such as 'acme-npu'"),
        ("9", "such as 'acme-npu'"),
        ("", "lower-case letters, digits and hyphens"),
        ("a--b", "such as 'a-b'"),
        ("../x", "such as 'x'"),
        ("template", "is npubench's own name"),
        ("npubench-acme", "such as 'acme'"),
        ("simulated", "already a backend 'simulated'"),
        ("models", "already a package npubench_models"),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_one_that_can(name: str, words: str, empty: Path) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        new_backend(name, empty)


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / f"npubench-{NAME}"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="already there and is left as it is"):
        new_backend(NAME, tmp_path)
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_a_place_that_is_not_there_is_said(empty: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        new_backend(NAME, empty / "nowhere")


def test_a_write_that_fails_leaves_nothing(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole: Callable[..., int] = Path.write_text

    def full(path: Path, *arguments: Any, **options: Any) -> int:
        if path.name == "pyproject.toml":
            raise OSError(28, "No space left on device")
        return whole(path, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(InputError, match="cannot be written: no space left on device"):
        new_backend(NAME, empty)


def test_the_command_ends_with_the_code_for_wrong_input(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["new-backend", "Acme", "--into", str(tmp_path)])
    assert isinstance(done.exception, InputError)
    assert done.exception.exit_code == 2
