"""Archives made to do harm: a clear verdict each, bounded memory, and nothing written anywhere."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from npubench.record.archive import MAX_MEMBER_BYTES, ArchiveWriter, Member, read_directory
from npubench.record.keys import load_key, make_key, sign
from npubench.record.manifest import (
    MANIFEST,
    SIGNATURE,
    Manifest,
    SealedFile,
    canonical,
    read_manifest,
    unsafe_name,
    write_manifest,
)
from npubench.record.seal import seal_runs
from npubench.record.store import Store
from npubench.record.verdict import Verdict
from npubench.record.verify import verify

from .evidence import GATE, Maker

RUN = "runs/node-1/run-a"


class Forger:
    """Holds a trusted key and does not deserve it."""

    def __init__(self, folder: Path, maker: Maker) -> None:
        self.folder, self.maker = folder, maker
        self.public = make_key(folder / "key.pem")
        self.key = load_key(folder / "key.pem")
        sealed = seal_runs(maker.store, maker.store.folders(), folder / "good.zip", self.key, folder)
        self.manifest = sealed.manifest
        with zipfile.ZipFile(sealed.path) as archive:
            self.members = {name: archive.read(name) for name in archive.namelist()}

    def forge(
        self,
        path: Path,
        changed: Mapping[str, bytes | None] = MappingProxyType({}),
        change: Callable[[Manifest], Manifest] = lambda manifest: manifest,
        text: Callable[[bytes], bytes] = lambda text: text,
        listed: bool = True,
        last: Sequence[tuple[str, bytes]] = (),
    ) -> Path:
        """Write an archive in which members were changed, added or (None) left out, signed so that it seems right.

        Args:
            path: The file to write.
            changed: Member → content.
            change: Changes the manifest.
            text: Changes its bytes.
            listed: Whether the manifest follows the changes.
            last: Members after the signature.
        """
        content = {name: self.members[name] for name in (file.name for file in self.manifest.files)}
        content |= changed  # type: ignore[arg-type]
        with path.open("wb") as file:
            writer = ArchiveWriter(file)
            files = [writer.add_bytes(name, data) for name, data in content.items() if data is not None]
            runs = tuple(
                replace(run, record=next((one.sha256 for one in files if one.name == f"{run.folder}/record.json"), run.record))
                for run in self.manifest.runs
            )
            manifest = replace(self.manifest, files=tuple(files), runs=runs) if listed else self.manifest
            written = text(write_manifest(change(manifest)))
            writer.add_bytes(MANIFEST, written)
            writer.add_bytes(SIGNATURE, sign(self.key, written))
            for name, data in last:
                writer.add_bytes(name, data)
            writer.finish()
        return path

    def verify(self, path: Path) -> str:
        """Return what is said of it; it is never right, and leaves no trace."""
        before = sorted(path.parent.rglob("*"))
        verdict = verify(path, {self.public: "forger"}, (), self.folder, 0)
        assert sorted(path.parent.rglob("*")) == before
        assert verdict.differs, said(verdict)
        return said(verdict)


def said(verdict: Verdict) -> str:
    runs = [f"{run.run_id} {one}" for run in verdict.runs for one in (*run.problems, *run.differences, *run.unchecked)]
    return "\n".join([*(f"{c.name} {c.state} {c.text}" for c in verdict.checks), *verdict.problems, *runs])


@pytest.fixture(scope="module")
def forger(
    tmp_path_factory: pytest.TempPathFactory, make_spec: Callable[..., Any], make_bundle: Callable[..., Any], make_trace: Any
) -> Forger:
    folder = tmp_path_factory.mktemp("forger")
    maker = Maker(Store(folder / "store"), make_bundle(folder / "bundle", gate=GATE), make_spec, make_trace)
    maker("run-a")
    return Forger(folder, maker)


@pytest.fixture(autouse=True)
def tmp_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Temporary folders of this test's own, and empty when it is over."""
    away = tmp_path / "away"
    away.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(away))
    yield
    assert list(away.iterdir()) == []


def with_record(forger: Forger, changed: dict[str, bytes], record: Callable[[dict[str, Any]], None] = lambda r: None) -> Any:
    """Return members with the record's digests brought in line with what was changed beside it."""
    data = json.loads(forger.members[f"{RUN}/record.json"])
    for name, content in changed.items():
        data["provenance"]["files"][name] = "sha256:" + hashlib.sha256(content).hexdigest()
    record(data)
    return {**{f"{RUN}/{name}": content for name, content in changed.items()}, f"{RUN}/record.json": json.dumps(data).encode()}


def test_the_forger_can_do_it_right(forger: Forger, tmp_path: Path) -> None:
    """Or else these tests would show nothing."""
    path = forger.forge(tmp_path / "a.zip")
    verdict = verify(path, {forger.public: "forger"}, (), forger.folder, 0)
    assert (verdict.differs, verdict.trusted, verdict.unchecked) == (False, True, False), said(verdict)


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/x", f"{RUN}/../../../../x", "a\\b", "C:/x", "a//b", "./a", "a/.", "x" * 256, "a/" * 600 + "a", "a\nb", "a\0b"],
)
def test_a_name_that_leads_elsewhere_is_refused(forger: Forger, tmp_path: Path, name: str) -> None:
    assert unsafe_name(name)
    about = forger.verify(forger.forge(tmp_path / "a.zip", {name: b"owned"}))
    assert "its name" in about
    assert "archive fails" in about
    about = forger.verify(
        forger.forge(tmp_path / "b.zip", change=lambda m: replace(m, files=(replace(m.files[0], name=name), *m.files[1:])))
    )
    assert "manifest fails" in about


@settings(max_examples=200)
@given(st.text(max_size=40))
def test_a_safe_name_stays_below_its_folder(name: str) -> None:
    if not unsafe_name(name):
        root = Path("/somewhere/below")
        assert Path(os.path.normpath(root / name)).is_relative_to(root)
        assert Path(os.path.normpath(root / name)) != root


@pytest.mark.parametrize(("field", "value"), [("system", "../up"), ("run_id", "a/b"), ("run_id", ".."), ("system", "")])
def test_a_run_with_a_name_that_leads_elsewhere_is_refused(forger: Forger, tmp_path: Path, field: str, value: str) -> None:
    path = forger.forge(tmp_path / "a.zip", change=lambda m: replace(m, runs=(replace(m.runs[0], **{field: value}),)))
    assert "manifest fails" in forger.verify(path)


def patched(path: Path, name: str, at: int, value: bytes) -> Path:
    """Change a member's entry in the archive's directory."""
    data = bytearray(path.read_bytes())
    start = data.rindex(name.encode()) - 46
    data[start + at : start + at + len(value)] = value
    path.write_bytes(data)
    return path


def test_a_symbolic_link_is_named(forger: Forger, tmp_path: Path) -> None:
    path = patched(forger.forge(tmp_path / "a.zip"), f"{RUN}/worker.log", 38, struct.pack("<I", 0o120777 << 16))
    assert f"member '{RUN}/worker.log': is a symbolic link" in forger.verify(path)


@pytest.mark.parametrize(
    ("at", "value", "sentence"),
    [
        (8, b"\1\0", "is encrypted"),
        (10, b"\x0c\0", "by method 12"),
        (20, b"\xff\xff\xff\xff", "declares 4,294,967,295 bytes"),
        (42, b"\0\0\0\0", "does not begin where the one before it ends"),
        (12, b"\1\2\3\4", "has bytes that npubench does not write"),
    ],
)
def test_what_npubench_does_not_write_is_named(forger: Forger, tmp_path: Path, at: int, value: bytes, sentence: str) -> None:
    about = forger.verify(patched(forger.forge(tmp_path / "a.zip"), f"{RUN}/worker.log", at, value))
    assert "worker.log'" in about
    assert sentence in about


def test_members_there_twice_left_out_added_or_in_another_order_are_named(forger: Forger, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    log = f"{RUN}/worker.log"
    assert f"member '{log}': is there twice" in forger.verify(forger.forge(path, last=[(log, b"again")]))
    assert "member 'extra': is not in the manifest" in forger.verify(forger.forge(path, last=[("extra", b"x")]))
    assert f"member '{log}': is missing" in forger.verify(forger.forge(path, {log: None}, listed=False))
    swapped = forger.forge(path, change=lambda m: replace(m, files=tuple(reversed(m.files))))
    assert "members were put in another order" in forger.verify(swapped)
    assert "nothing that the manifest speaks of" in forger.verify(forger.forge(path, {"runs/node-1/ghost/x": b"x"}))
    assert "is not among the files that the record names" in forger.verify(forger.forge(path, {f"{RUN}/more": b"x"}))
    twice = forger.forge(path, change=lambda m: replace(m, runs=(*m.runs, *m.runs)))
    assert "is there twice" in forger.verify(twice)


def deflated(writer: ArchiveWriter, name: str, data: bytes, declared: int) -> SealedFile:
    """Add a member that unpacks to more than it says."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(data) + packer.flush()
    file: Any = writer._file
    member = Member(name, 8, zlib.crc32(data), len(packed), declared, file.tell())
    header = struct.pack(
        "<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 8, 0, 0x21, member.crc, member.packed_size, declared, len(name.encode()), 0
    )
    file.write(header + name.encode() + packed)
    writer._members.append(member)
    digests = ["sha256:" + hashlib.sha256(one).hexdigest() for one in (data, packed)]
    return SealedFile(name, declared, digests[0], len(packed), digests[1])


def bomb(forger: Forger, path: Path, size: int, declared: int) -> Path:
    """Write a bundle whose worker.log is nothing but zeros."""
    with path.open("wb") as file:
        writer = ArchiveWriter(file)
        files = [
            deflated(writer, one.name, b"\0" * size, declared)
            if one.name.endswith("worker.log")
            else writer.add_bytes(one.name, forger.members[one.name])
            for one in forger.manifest.files
        ]
        text = write_manifest(replace(forger.manifest, files=tuple(files)))
        writer.add_bytes(MANIFEST, text)
        writer.add_bytes(SIGNATURE, sign(forger.key, text))
        writer.finish()
    return path


def test_a_bomb_unpacks_to_no_more_than_it_declares(forger: Forger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    real = Path.open

    class Counting(io.FileIO):
        def write(self, data: Any) -> int:
            written.append(len(data))
            return super().write(data)

    def opened(self: Path, mode: str = "r", *arguments: Any, **more: Any) -> Any:
        return Counting(self, "x") if mode == "xb" else real(self, mode, *arguments, **more)

    monkeypatch.setattr(Path, "open", opened)
    about = forger.verify(bomb(forger, tmp_path / "a.zip", 32 << 20, 1000))
    assert "worker.log: unpacks to more than the 1,000 bytes it declares" in about
    assert max(written) < 1 << 20
    monkeypatch.setattr("npubench.record.unseal.MAX_FOLDER_BYTES", 4 << 20)
    written.clear()
    about = forger.verify(bomb(forger, tmp_path / "a.zip", 32 << 20, 32 << 20))
    assert "more than 4,194,304: not unpacked" in about
    assert sum(written) < 1 << 20


def test_a_size_beyond_every_limit_is_refused_before_anything_is_unpacked(forger: Forger, tmp_path: Path) -> None:
    about = forger.verify(bomb(forger, tmp_path / "a.zip", 10, MAX_MEMBER_BYTES + 1))
    assert "archive fails member" in about


@pytest.mark.parametrize("count", [0xFFFE, 1 << 40])
def test_a_huge_count_is_no_reason_to_fill_memory(forger: Forger, tmp_path: Path, count: int) -> None:
    path = forger.forge(tmp_path / "a.zip")
    data = path.read_bytes()
    if count <= 0xFFFF:
        wrong = data[:-14] + struct.pack("<HH", count, count) + data[-10:]
    else:
        length, start = struct.unpack("<II", data[-10:-2])
        end64 = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, length, start)
        wrong = data[:-22] + end64 + struct.pack("<4sIQI", b"PK\6\7", 0, start + length, 1) + data[-22:]
    path.write_bytes(wrong)
    assert "archive fails" in forger.verify(path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tail=st.binary(min_size=0, max_size=200), cut=st.integers(1, 400))
def test_an_end_of_noise_is_no_reason_to_fall_over(forger: Forger, tmp_path: Path, tail: bytes, cut: int) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes((forger.folder / "good.zip").read_bytes()[:-cut] + tail)
    try:
        verdict = verify(path, {}, (), tmp_path, 0)
    finally:
        path.unlink()
    assert verdict.differs


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b'{"a": NaN}', "holds NaN"),
        (b'{"a": -Infinity}', "holds -Infinity"),
        (b'{"a": 1e999}', "beyond every number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "5,000 digits"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deep"),
        (b'{"a": 1, "a": 2}', "key 'a' is there twice"),
        (b"[" + b"[]," * 2_100_000 + b"[]]", "holds more than"),
        (b"\xff\xfe", "decode"),
        (b'{"a": 1', "delimiter"),
    ],
    ids=["nan", "infinity", "1e999", "digits", "deep", "twice", "count", "bytes", "cut"],
)
def test_json_with_surprises_is_named(forger: Forger, tmp_path: Path, text: bytes, sentence: str) -> None:
    path = tmp_path / "a.zip"
    about = forger.verify(forger.forge(path, with_record(forger, {"worker.json": text})))
    assert "run-a worker.json: " in about
    assert sentence in about
    about = forger.verify(forger.forge(path, {f"{RUN}/record.json": text}))
    assert "run-a record.json: " in about
    assert sentence in about
    about = forger.verify(forger.forge(path, text=lambda _: text))
    assert "manifest fails manifest.json: " in about
    assert sentence in about


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda m: {**m, "schema_version": 2}, "schema_version is 2"),
        (lambda m: {**m, "more": 1}, "unknown key 'more'"),
        (lambda m: {k: v for k, v in m.items() if k != "runs"}, "runs"),
        (lambda m: {**m, "sequence": 0}, "sequence 0"),
        (lambda m: {**m, "sequence": 10**400}, "digits"),
        (lambda m: {**m, "previous": "sha256:" + "0" * 64}, "does not go with previous"),
        (lambda m: {**m, "public_key": "AAAA"}, "no public key"),
        (lambda m: {**m, "files": [{**m["files"][0], "size": -1}, *m["files"][1:]]}, "negative size"),
        (lambda m: {**m, "files": [{**m["files"][0], "size": 1.5}, *m["files"][1:]]}, "is not of type int"),
        (lambda m: {**m, "runs": [{**m["runs"][0], "record": "md5:0"}]}, "is no digest"),
        (lambda m: [m], "is not a manifest"),
    ],
)
def test_a_manifest_of_another_shape_is_refused(forger: Forger, tmp_path: Path, change: Any, sentence: str) -> None:
    about = forger.verify(forger.forge(tmp_path / "a.zip", text=lambda text: canonical(change(json.loads(text)))))
    assert "manifest fails" in about
    assert sentence in about


def test_a_manifest_in_another_form_is_refused(forger: Forger, tmp_path: Path) -> None:
    for form in (lambda t: t + b"\n", lambda t: json.dumps(json.loads(t)).encode(), lambda t: b" " + t):
        assert "not in canonical form" in forger.verify(forger.forge(tmp_path / "a.zip", text=form))
    assert read_manifest(write_manifest(forger.manifest)) == forger.manifest


def npz(**arrays: bytes) -> bytes:
    """Return an ``.npz`` of raw members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in arrays.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode().ljust(118 - 1) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + data


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (npz(header=npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"\x80\x04N.")), "pickles"),
        (npz(header=npy("{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000,), }")), "declares"),
        (npz(header=npy("{'descr': '<i8', 'fortran_order': False, 'shape': (-8,), }", b"")), "negative"),
        (
            npz(header=npy("{'descr': '<i8', 'fortran_order': False, 'shape': (2000000,), }", b"\0" * 16_000_000)),
            "more than 8,000,000",
        ),
        (npz(header=npy("__import__('os').system('true')")), "trace.npz"),
        (npz(header=b"no array"), "trace.npz"),
        (b"no archive", "trace.npz"),
        (b"", "trace.npz"),
    ],
    ids=["pickle", "giant", "negative", "bomb", "code", "noise", "nothing", "empty"],
)
def test_arrays_made_to_do_harm_are_named_and_not_read(
    forger: Forger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, sentence: str
) -> None:
    monkeypatch.setattr("npubench.record.strict.MAX_ARRAY_BYTES", 8_000_000)
    monkeypatch.setattr("npubench.record.recheck.build_record", lambda *_: pytest.fail("was read"))
    about = forger.verify(forger.forge(tmp_path / "a.zip", with_record(forger, {"trace.npz": content})))
    assert "run-a trace.npz: " in about
    assert sentence in about


def test_arrays_that_are_none_of_a_trace_give_a_verdict(forger: Forger, tmp_path: Path) -> None:
    """Plain arrays of strange sizes and values reach the recomputation; whatever it makes of them, it differs."""
    extremes = np.array([np.iinfo(np.int64).min, np.iinfo(np.int64).max, 0])
    header = np.frombuffer(json.dumps({"version": 1, "start_ns": 0, "end_ns": 2**62, "details": {}}).encode(), np.uint8)
    names = ("issued_ns", "started_ns", "done_ns", "scheduled_ns", "sample", "query")
    for n, columns in enumerate(
        [dict.fromkeys(names, extremes), dict.fromkeys(names, np.zeros(0, np.int64)), dict.fromkeys(names, np.zeros((2, 2)))]
    ):
        file = io.BytesIO()
        np.savez(file, header=header, **columns)
        forger.verify(forger.forge(tmp_path / f"{n}.zip", with_record(forger, {"trace.npz": file.getvalue()})))


def test_a_record_of_another_schema_is_named(forger: Forger, tmp_path: Path) -> None:
    for change in ({"schema_version": 99}, {"schema_version": None}, {"more": 1}, {"metrics": {"throughput": {"value": "x"}}}):
        path = forger.forge(tmp_path / "a.zip", with_record(forger, {}, lambda record, change=change: record.update(change)))
        assert "run-a record.json: " in forger.verify(path)


def test_records_mixed_between_runs_are_named(forger: Forger, tmp_path: Path) -> None:
    shutil.copytree(forger.maker.store.root / "node-1", tmp_path / "store" / "node-1")
    maker = replace(forger.maker, store=Store(tmp_path / "store"))
    maker("run-b", start=5)
    with zipfile.ZipFile(seal_runs(maker.store, maker.store.folders(), tmp_path / "b.zip", forger.key, forger.folder).path) as b:
        other = {name: b.read(name) for name in b.namelist()}
        manifest = read_manifest(other[MANIFEST])
    both = Forger.__new__(Forger)
    both.__dict__ = {**forger.__dict__, "members": other, "manifest": manifest}
    beside = "runs/node-1/run-b"
    about = both.verify(both.forge(tmp_path / "c.zip", {f"{RUN}/record.json": other[f"{beside}/record.json"]}))
    assert "run-a record.json: is of run node-1/run-b" in about
    about = both.verify(both.forge(tmp_path / "c.zip", {f"{RUN}/trace.npz": other[f"{beside}/trace.npz"]}))
    assert "run-a trace.npz: was changed since the record was made" in about
    assert "node-1/run-b: its trace is that of node-1/run-a: one run under two names" in about
    swapped = {f"{RUN}/{n.rpartition('/')[2]}": other[n] for n in other if n.startswith(beside) and "loadgen" not in n}
    assert "run-a record.json: is of run node-1/run-b" in both.verify(both.forge(tmp_path / "c.zip", swapped))


def test_a_workload_bundle_that_is_another_is_named(forger: Forger, tmp_path: Path) -> None:
    (name,) = [name for name in forger.members if name.endswith("bundle.json")]
    easier = json.loads(forger.members[name])
    easier["gate"]["required"] = 0.1
    about = forger.verify(forger.forge(tmp_path / "a.zip", {name: json.dumps(easier).encode()}))
    assert f"{name.removesuffix('/bundle.json')}: bundle.json: digest does not match" in about
    labels = name.replace("bundle.json", "labels.npz")
    about = forger.verify(forger.forge(tmp_path / "a.zip", {labels: npz(y=b"x")}))
    assert "labels.npz: wrong digest" in about
    without = {one: None for one in forger.members if one.startswith("bundles/")}
    about = forger.verify(forger.forge(tmp_path / "a.zip", without))  # type: ignore[arg-type]
    assert f"{name.removesuffix('/bundle.json')}: is missing" in about
    assert "run-a figures and verdicts: the workload bundle is not in the archive" in about


def test_two_files_that_want_one_place_are_named(forger: Forger, tmp_path: Path) -> None:
    path = forger.forge(tmp_path / "a.zip", {f"{RUN}/worker.log/below": b"x"})
    assert "worker.log/below: cannot be unpacked" in forger.verify(path)


def test_hidden_bytes_between_members_are_named(forger: Forger, tmp_path: Path) -> None:
    path = forger.forge(tmp_path / "a.zip")
    data = path.read_bytes()
    with path.open("rb") as file:
        members, _ = read_directory(file)
    hole = members[3].offset
    path.write_bytes(data[:hole] + b"hidden" + data[hole:])
    assert "archive fails" in forger.verify(path)
