"""A model is compiled once for everything that decides the artefact, again for anything else, and never half."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from npubench.contract import Artefact, Availability, Backend, Device, Executor, Model, NoOptions, Rung, TensorSpec, Unsupported
from npubench.contract.bundle import path_digest
from npubench.measure.artefacts import compile_cached, path_size, ready_artefact

DEVICE = Device("npu:0", "ACME-1")
MODEL = Model(Path("m.onnx"), "sha256:1", "w", "fp32", (TensorSpec("x", "float32", (1, 3)),), (), calibration_digest="sha256:c")


@dataclass(frozen=True)
class Options:
    level: int = 1


class Compiler(Backend):
    """Compiles into a file, and counts."""

    def __init__(self) -> None:
        self.compiled = 0

    def probe(self) -> Availability:
        return Availability(Rung.READY)

    def load(self, artefact: Artefact, device: Device, options: Any) -> Executor:
        raise NotImplementedError

    def compile(self, model: Model, device: Device, options: Any, work: Path) -> Artefact:
        assert list(work.iterdir()) == []
        self.compiled += 1
        (work / "out.bin").write_bytes(b"program")
        return Artefact(work / "out.bin", "bin", "acme-cc 1.2", notes={"cores": "4"})


class Folders(Compiler):
    """Compiles into the folder itself."""

    def compile(self, model: Model, device: Device, options: Any, work: Path) -> Artefact:
        super().compile(model, device, options, work)
        return Artefact(work, "folder")


def made(
    backend: Backend, cache: Path, model: Model = MODEL, device: Device = DEVICE, options: Any = Options(), name: str = "acme"
) -> Any:
    return compile_cached(backend, name, model, device, options, cache)


@pytest.mark.parametrize("kind", [Compiler, Folders])
def test_what_was_compiled_before_is_not_compiled_again(tmp_path: Path, kind: Callable[[], Compiler]) -> None:
    first, second = kind(), kind()
    fresh, again = made(first, tmp_path), made(second, tmp_path)
    assert (first.compiled, second.compiled) == (1, 0)
    assert (fresh.cached, again.cached) == (False, True)
    assert again.artefact == fresh.artefact
    assert again.artefact.path.exists()


def test_what_the_compiler_says_is_kept(tmp_path: Path) -> None:
    made(Compiler(), tmp_path)
    artefact = made(Compiler(), tmp_path).artefact
    assert (artefact.format, artefact.compiler, artefact.notes) == ("bin", "acme-cc 1.2", {"cores": "4"})


@pytest.mark.parametrize(
    "changed",
    [
        {"model": replace(MODEL, digest="sha256:2")},
        {"model": replace(MODEL, precision="vendor")},
        {"model": replace(MODEL, calibration_digest="sha256:d")},
        {"model": replace(MODEL, inputs=(TensorSpec("x", "float32", (8, 3)),))},
        {"device": Device("npu:0", "ACME-2")},
        {"options": Options(level=2)},
        {"name": "acme-next"},
    ],
    ids=["model", "precision", "calibration", "shape", "device kind", "options", "backend"],
)
def test_whatever_decides_the_artefact_makes_another(tmp_path: Path, changed: dict[str, Any]) -> None:
    backend = Compiler()
    made(backend, tmp_path)
    assert not made(backend, tmp_path, **changed).cached
    assert backend.compiled == 2


@pytest.mark.parametrize(
    "changed", [{"model": replace(MODEL, workload="v", path=Path("n.onnx"))}, {"device": Device("npu:7", "ACME-1")}]
)
def test_what_decides_nothing_makes_no_other(tmp_path: Path, changed: dict[str, Any]) -> None:
    made(Compiler(), tmp_path)
    assert made(Compiler(), tmp_path, **changed).cached


def damage_nothing_left(folder: Path) -> None:
    shutil.rmtree(folder)


def damage_content(folder: Path) -> None:
    (folder / "out.bin").write_bytes(b"progran")


def damage_file_gone(folder: Path) -> None:
    (folder / "out.bin").unlink()


def damage_manifest(folder: Path) -> None:
    (folder / "artefact.json").write_text('{"path":')


def damage_manifest_key(folder: Path) -> None:
    (folder / "artefact.json").write_text(json.dumps({"path": "out.bin"}))


def damage_manifest_kind(folder: Path) -> None:
    (folder / "artefact.json").write_text("[]")


def damage_manifest_gone(folder: Path) -> None:
    (folder / "artefact.json").unlink()


@pytest.mark.parametrize(
    "damage",
    [
        damage_nothing_left,
        damage_content,
        damage_file_gone,
        damage_manifest,
        damage_manifest_key,
        damage_manifest_kind,
        damage_manifest_gone,
    ],
)
def test_a_damaged_artefact_is_compiled_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    folder = made(Compiler(), tmp_path).artefact.path.parent
    damage(folder)
    backend = Compiler()
    found = made(backend, tmp_path)
    assert (backend.compiled, found.cached) == (1, False)
    assert found.artefact.path.read_bytes() == b"program"
    assert made(Compiler(), tmp_path).cached


class Failing(Compiler):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    def compile(self, model: Model, device: Device, options: Any, work: Path) -> Artefact:
        super().compile(model, device, options, work)
        raise self._error


@pytest.mark.parametrize("error", [RuntimeError("segment overlap"), KeyboardInterrupt(), Unsupported("no Conv3D")])
def test_a_failed_attempt_leaves_nothing_and_says_what_the_compiler_said(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        made(Failing(error), tmp_path)
    assert caught.value is error
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not made(Compiler(), tmp_path).cached


def test_a_backend_without_a_compiler_takes_the_model_itself(tmp_path: Path) -> None:
    class Taking(Compiler):
        compile = Backend.compile

    found = made(Taking(), tmp_path)
    assert (found.artefact.path, found.artefact.format, found.cached) == (MODEL.path, "onnx", False)
    assert list(tmp_path.iterdir()) == []


def test_an_artefact_outside_the_work_folder_is_used_where_it_is(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.bin"
    elsewhere.write_bytes(b"x")

    class Outside(Compiler):
        def compile(self, model: Model, device: Device, options: Any, work: Path) -> Artefact:
            return Artefact(elsewhere, "bin")

    assert made(Outside(), tmp_path / "cache").artefact.path == elsewhere
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_cache_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    (tmp_path / "artefacts").write_text("a file in the way")
    with pytest.raises(OSError, match="artefacts"):
        made(Compiler(), tmp_path)


@pytest.mark.parametrize(("name", "kind"), [("net.mxq", "mxq"), ("net.rbln", "rbln"), ("net", "folder")])
def test_a_ready_artefact_is_known_by_its_suffix(name: str, kind: str) -> None:
    found = ready_artefact(Path(name))
    assert (found.artefact.format, found.artefact.ready, found.cached) == (kind, True, False)


def test_the_digest_of_a_folder_covers_names_and_contents(tmp_path: Path) -> None:
    def folder(name: str, files: dict[str, bytes]) -> Path:
        for file, content in files.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return tmp_path / name

    a = folder("a", {"x": b"1", "sub/y": b"2"})
    assert path_digest(a) == path_digest(folder("b", {"sub/y": b"2", "x": b"1"}))
    assert path_digest(a) != path_digest(folder("c", {"x": b"1", "sub/z": b"2"}))
    assert path_digest(a) != path_digest(folder("d", {"x": b"1", "sub/y": b"3"}))
    assert path_size(a) == 2
    assert path_size(a / "x") == 1


def test_options_of_no_kind_have_a_compile_key_of_their_own() -> None:
    assert Compiler().compile_key(DEVICE, NoOptions()) != Compiler().compile_key(DEVICE, Options())
