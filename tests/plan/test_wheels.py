from __future__ import annotations

import hashlib
import importlib.util
import io
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from npubench.errors import WorkloadError
from npubench.plan.wheels import npubench_cache, resolve, write_atomically
from npubench.plan.workload import Source

CONTENT = b"the model"
LICENCE = b"do what you like"


def source(**changed: Any) -> Source:
    values = {"id": "model", "package": "Toy.Model", "version": "1.2", "member": "toy/model.onnx", "sha256": sha256(CONTENT)}
    return Source(**(values | changed))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def wheel(folder: Path, content: bytes = CONTENT, tag: str = "py3-none-any", licence: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"toy_model-1.2-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("toy/model.onnx", content)
        archive.writestr("toy_model-1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy-model\nVersion: 1.2\n")
        archive.writestr("toy_model-1.2.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr("toy_model-1.2.dist-info/RECORD", "")
        if licence:
            archive.writestr("toy_model-1.2.dist-info/licenses/LICENSE", LICENCE)
            archive.writestr("toy/LICENSE_FONT", b"and the font")
    return path


def sdist(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "toy-model-1.2.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in (("toy/model.onnx", CONTENT), ("PKG-INFO", b"Name: toy-model\n"), ("LICENSE", LICENCE)):
            entry = tarfile.TarInfo(f"toy-model-1.2/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


@pytest.fixture
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip sees this folder and nothing else."""
    published = tmp_path / "published"
    published.mkdir()
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(published))
    return published


@pytest.fixture
def no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "pip" else find_spec(name, *rest))
    monkeypatch.setattr(shutil, "which", lambda name: None)


def test_pip_fetches_once_and_the_member_stays(tmp_path: Path, no_network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = wheel(no_network)
    cache = tmp_path / "cache"
    told: list[str] = []
    first = resolve([source()], cache, told.append)
    assert first.sources.path("model").read_bytes() == CONTENT
    assert first.licences == {"Toy.Model-1.2-LICENSE": LICENCE, "Toy.Model-1.2-LICENSE_FONT": b"and the font"}
    assert told == ["downloading Toy.Model 1.2"]
    published.unlink()
    shutil.rmtree(cache / "wheels")
    again = resolve([source()], cache, told.append)
    assert again == first
    assert len(told) == 1


@pytest.mark.usefixtures("no_pip")
def test_an_archive_put_there_by_hand_needs_no_pip(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", tag="cp311-cp311-manylinux_2_28_x86_64")
    assert resolve([source()], tmp_path).sources.path("model").read_bytes() == CONTENT


@pytest.mark.usefixtures("no_pip")
def test_an_sdist_put_there_by_hand_is_read(tmp_path: Path) -> None:
    archive = sdist(tmp_path / "wheels")
    resolved = resolve([source(sdist_sha256=sha256(archive.read_bytes()))], tmp_path)
    assert resolved.sources.path("model").read_bytes() == CONTENT
    assert resolved.licences == {"Toy.Model-1.2-LICENSE": LICENCE}


@pytest.mark.usefixtures("no_pip")
def test_another_sdist_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    sdist(tmp_path / "wheels")
    with pytest.raises(WorkloadError, match="not the pinned one"):
        resolve([source(sdist_sha256="0" * 64)], tmp_path)


@pytest.mark.usefixtures("no_pip")
def test_a_whole_archive_can_be_the_member(tmp_path: Path) -> None:
    content = wheel(tmp_path / "wheels").read_bytes()
    resolved = resolve([source(member=".", sha256=sha256(content))], tmp_path)
    assert resolved.sources.path("model").read_bytes() == content


@pytest.mark.usefixtures("no_pip")
def test_the_platform_whose_member_is_pinned_is_taken(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", content=b"for others", tag="cp311-cp311-linux_aarch64")
    wheel(tmp_path / "wheels", tag="cp311-cp311-linux_x86_64")
    assert resolve([source()], tmp_path).sources.path("model").read_bytes() == CONTENT


def test_a_wrong_digest_names_package_member_expected_and_seen(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", content=b"another model")
    with pytest.raises(WorkloadError) as caught:
        resolve([source()], tmp_path)
    for part in ("Toy.Model==1.2", "toy/model.onnx", sha256(CONTENT), sha256(b"another model")):
        assert part in str(caught.value)
    assert not list((tmp_path / "sources").rglob("*.onnx"))


def test_a_missing_member_is_named(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels")
    with pytest.raises(WorkloadError, match="holds no toy/other"):
        resolve([source(member="toy/other")], tmp_path)


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    path = wheel(tmp_path / "wheels")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(WorkloadError, match=r"toy_model-1\.2-py3-none-any\.whl: damaged archive"):
        resolve([source()], tmp_path)


def test_a_damaged_member_in_the_cache_is_taken_again(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels")
    member = resolve([source()], tmp_path).sources.path("model")
    member.write_bytes(b"rotten")
    assert resolve([source()], tmp_path).sources.path("model").read_bytes() == CONTENT


def test_without_a_licence_text_the_metadata_comes_along(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", licence=False)
    assert list(resolve([source()], tmp_path).licences) == ["Toy.Model-1.2-METADATA"]


def test_a_failed_download_says_the_way_out(tmp_path: Path, no_network: Path) -> None:
    with pytest.raises(WorkloadError) as caught:
        resolve([source()], tmp_path / "cache")
    text = str(caught.value)
    assert text.startswith("cannot download Toy.Model==1.2: No matching distribution")
    assert "pip download --no-deps" in text
    assert str(tmp_path / "cache" / "wheels") in text
    assert list((tmp_path / "cache" / "wheels").iterdir()) == []


@pytest.mark.usefixtures("no_pip")
def test_without_pip_the_way_out_is_said(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match=r"has no pip .* -m ensurepip"):
        resolve([source()], tmp_path)


def test_the_cache_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPUBENCH_CACHE", str(tmp_path / "here"))
    assert npubench_cache() == tmp_path / "here"
    monkeypatch.delenv("NPUBENCH_CACHE")
    assert npubench_cache().name == "npubench"


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(tmp_path / "file", b"content")
    assert list(tmp_path.iterdir()) == []
