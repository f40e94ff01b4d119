"""What is sealed can be checked by anybody, and one changed byte anywhere is named."""

from __future__ import annotations

import json
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from npubench.errors import InputError, StoreError
from npubench.plan.usermodel import fidelity
from npubench.record.account import build_record
from npubench.record.archive import read_directory
from npubench.record.calibration import write_calibration
from npubench.record.keys import load_key, make_key, public_text
from npubench.record.seal import Sealed, seal_runs
from npubench.record.store import Store
from npubench.record.supervised import read_supervised, write_supervised
from npubench.record.verdict import Verdict
from npubench.record.verify import verify

from .evidence import GATE, Maker


@dataclass(frozen=True)
class Evidence:
    """A sealed store."""

    folder: Path
    maker: Maker
    sealed: Sealed
    key: Path
    trust: dict[str, str]

    @property
    def data(self) -> bytes:
        return self.sealed.path.read_bytes()


@pytest.fixture(scope="module")
def evidence(
    tmp_path_factory: pytest.TempPathFactory,
    make_spec: Callable[..., object],
    make_bundle: Callable[..., object],
    make_trace: Callable[..., object],
) -> Evidence:
    folder = tmp_path_factory.mktemp("evidence")
    maker = Maker(Store(folder / "store"), make_bundle(folder / "bundle", gate=GATE), make_spec, make_trace)  # type: ignore[arg-type]
    maker("run-a")
    public = make_key(folder / "key.pem")
    sealed = seal_runs(maker.store, maker.store.folders(), folder / "a.zip", load_key(folder / "key.pem"), folder)
    return Evidence(folder, maker, sealed, folder / "key.pem", {public: "testbed"})


def check(path: Path, evidence: Evidence, *earlier: Path) -> Verdict:
    before = sorted(path.parent.rglob("*"))
    verdict = verify(path, evidence.trust, earlier, evidence.folder, 0)
    assert sorted(path.parent.rglob("*")) == before
    return verdict


def said(verdict: Verdict) -> str:
    runs = [f"{run.run_id} {one}" for run in verdict.runs for one in (*run.problems, *run.differences)]
    return "\n".join([*(f"{c.name} {c.state} {c.text}" for c in verdict.checks), *verdict.problems, *runs])


def states(verdict: Verdict) -> dict[str, str]:
    return {check.name: check.state for check in verdict.checks}


def test_what_was_sealed_holds(evidence: Evidence) -> None:
    verdict = check(evidence.sealed.path, evidence)
    assert states(verdict) == dict.fromkeys(("manifest", "signature", "trust", "chain", "runs"), "holds"), said(verdict)
    assert (verdict.trusted, verdict.differs, verdict.unchecked) == (True, False, False)
    assert [(run.system, run.run_id, run.status is not None) for run in verdict.runs] == [("node-1", "run-a", True)]


def test_any_unzip_opens_it_and_finds_what_was_in_the_store(evidence: Evidence) -> None:
    (run,) = evidence.maker.store.folders()
    with zipfile.ZipFile(evidence.sealed.path) as archive:
        assert archive.testzip() is None
        beside = {path.relative_to(run).as_posix(): path.read_bytes() for path in run.rglob("*") if path.is_file()}
        assert {
            name.removeprefix("runs/node-1/run-a/"): archive.read(name) for name in archive.namelist() if name.startswith("runs/")
        } == beside
        assert sorted(n.rpartition("/")[2] for n in archive.namelist() if n.startswith("bundles/")) == [
            "bundle.json",
            "labels.npz",
            "reference.npz",
        ]


def test_a_signature_of_a_key_that_is_not_trusted_is_said_to_be_so(evidence: Evidence) -> None:
    verdict = verify(evidence.sealed.path, {}, (), evidence.folder, 0)
    assert (states(verdict)["signature"], states(verdict)["trust"], verdict.trusted) == ("holds", "fails", False)
    assert "not in the trust list" in said(verdict)
    assert not verdict.differs


def test_one_changed_byte_in_any_place_is_named(evidence: Evidence, tmp_path: Path) -> None:
    """A byte of every member's header, content and directory entry, and each of the archive's last ones."""
    data = evidence.data
    with evidence.sealed.path.open("rb") as file:
        members, complaints = read_directory(file)
    assert complaints == []
    places = []
    for n, member in enumerate(members):
        begin = member.end - member.packed_size
        places.append((member.offset + n % 30, member.name))
        places += [(at, member.name) for at in {begin, begin + member.packed_size // 2, member.end - 1} if member.packed_size]
    end = len(data) - 22
    at = members[-1].end
    for member in members:
        places += [(at + (7 * len(member.name)) % 46, ""), (at + 46, "")]
        at += 46 + len(member.name.encode())
    assert at == end
    places += [(place, "") for place in range(end, len(data))]
    path = tmp_path / "flipped.zip"
    for place, name in places:
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x41]) + data[place + 1 :])
        verdict = verify(path, evidence.trust, (), evidence.folder, 0)
        assert verdict.differs, (place, name)
        about = said(verdict)
        if not name:
            assert "member" in about or "archive" in about, (place, about)
        else:
            assert name.removeprefix("runs/node-1/run-a/") in about, (place, name, about)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_is_seen(evidence: Evidence, tmp_path: Path, place: float, bit: int) -> None:
    data = bytearray(evidence.data)
    data[int(place * len(data))] ^= 1 << bit
    path = tmp_path / "flipped.zip"
    path.write_bytes(data)
    assert verify(path, evidence.trust, (), evidence.folder, 0).differs


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_truncated_or_lengthened_bundle_is_seen(evidence: Evidence, tmp_path: Path, data: st.DataObject) -> None:
    whole = evidence.data
    cut = data.draw(st.integers(200, len(whole) - 1))
    path = tmp_path / "cut.zip"
    for wrong in (whole[:cut], whole + b"\0" * (cut % 30 + 1), whole[:cut] + b"\0" + whole[cut:]):
        path.write_bytes(wrong)
        verdict = verify(path, evidence.trust, (), evidence.folder, 0)
        assert verdict.differs
        assert [c.name for c in verdict.checks if c.state == "fails"] or verdict.problems


def test_what_is_no_bundle_is_no_bundle(evidence: Evidence, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a", "b")
    (tmp_path / "text").write_text("text")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for name in ("other.zip", "text", "empty", "folder", "nowhere"):
        with pytest.raises(InputError, match="npubench seal"):
            verify(tmp_path / name, {}, (), tmp_path, 0)


def reseal(evidence: Evidence, tmp_path: Path, key: Path | None) -> tuple[Path, Store]:
    """Copy the store without its chain and seal it anew."""
    shutil.copytree(evidence.maker.store.root / "node-1", tmp_path / "copy" / "node-1")
    store = Store(tmp_path / "copy")
    return seal_runs(store, store.folders(), None, load_key(key) if key else None, evidence.folder).path, store


def test_signed_again_by_another_key_it_is_not_trusted(evidence: Evidence, tmp_path: Path) -> None:
    make_key(tmp_path / "other.pem")
    path, _ = reseal(evidence, tmp_path, tmp_path / "other.pem")
    verdict = check(path, evidence)
    assert (states(verdict)["signature"], verdict.trusted) == ("holds", False)


def test_a_manifest_with_the_name_of_a_trusted_key_and_another_signature_fails(evidence: Evidence, tmp_path: Path) -> None:
    make_key(tmp_path / "other.pem")
    path, _ = reseal(evidence, tmp_path, tmp_path / "other.pem")
    (good,), bad = evidence.trust, public_text(load_key(tmp_path / "other.pem"))
    data = path.read_bytes().replace(bad.encode(), good.encode())
    path.write_bytes(_with_checksum(data, "manifest.json"))
    verdict = check(path, evidence)
    assert (states(verdict)["signature"], states(verdict)["trust"]) == ("fails", "fails"), said(verdict)


def _with_checksum(data: bytes, name: str) -> bytes:
    """Put the right checksum of a changed, stored member into both of its headers."""
    changed = bytearray(data)
    local = changed.index(b"PK\3\4", changed.index(name.encode()) - 40)
    _, _, _, _, _, _, _, _, size, names, _ = struct.unpack_from("<4sHHHHHIIIHH", changed, local)
    crc = struct.pack("<I", zlib.crc32(changed[local + 30 + names : local + 30 + names + size]))
    changed[local + 14 : local + 18] = crc
    central = changed.rindex(name.encode()) - 46
    changed[central + 16 : central + 20] = crc
    return bytes(changed)


def test_unsigned_is_said(evidence: Evidence, tmp_path: Path) -> None:
    path, _ = reseal(evidence, tmp_path, None)
    verdict = check(path, evidence)
    assert (states(verdict)["signature"], states(verdict)["trust"], verdict.differs) == ("unknown", "fails", False)
    assert "nobody signed it" in said(verdict)


# -- the chain --------------------------------------------------------------------------------------------------------


def test_seals_of_a_store_are_chained(evidence: Evidence, tmp_path: Path) -> None:
    first, store = reseal(evidence, tmp_path, evidence.key)
    second, third = (seal_runs(store, store.folders(), None, load_key(evidence.key), evidence.folder) for _ in range(2))
    assert [second.manifest.sequence, third.manifest.sequence] == [2, 3]
    assert third.manifest.previous == second.digest
    assert states(check(third.path, evidence))["chain"] == "holds"
    kept = [f"00000{n}.{end}" for n in (1, 2, 3) for end in ("manifest.json", "signature")]
    assert sorted(path.name for path in first.parent.iterdir()) == [*kept, *(f"seal-00000{n}.zip" for n in (1, 2, 3))]
    away = tmp_path / "away" / "c.zip"
    away.parent.mkdir()
    shutil.copy(third.path, away)
    alone = check(away, evidence)
    assert (states(alone)["chain"], alone.differs) == ("unknown", False)
    assert "previous not at hand: seal 2" in said(alone)
    assert states(check(away, evidence, second.path))["chain"] == "unknown"
    assert states(check(away, evidence, second.path, first))["chain"] == "holds"
    assert states(check(away, evidence, store.root))["chain"] == "holds"
    other = check(away, evidence, evidence.sealed.path, second.path)
    assert states(other)["chain"] == "fails"
    assert "not the one that seal 2 follows" in said(other)


def test_a_changed_or_missing_seal_in_a_store_is_named(evidence: Evidence, tmp_path: Path) -> None:
    first, store = reseal(evidence, tmp_path, evidence.key)
    seal_runs(store, store.folders(), None, load_key(evidence.key), evidence.folder)
    assert states(check(store.root, evidence)) == {"chain": "holds", "runs": "holds"}
    kept = first.parent / "000001.manifest.json"
    original = kept.read_bytes()
    kept.write_bytes(original.replace(b"2026", b"2027"))
    assert "000002.manifest.json: does not follow" in said(check(store.root, evidence))
    assert "000001.manifest.json: the signature is not that of" in said(check(store.root, evidence))
    kept.write_bytes(b"{}")
    assert "000001.manifest.json: schema_version is None" in said(check(store.root, evidence))
    kept.unlink()
    assert check(store.root, evidence).differs
    with pytest.raises(StoreError, match="seal 1 is missing"):
        seal_runs(store, store.folders(), None, None, evidence.folder)


def test_a_sealed_run_that_was_taken_away_or_changed_is_missed(evidence: Evidence, tmp_path: Path) -> None:
    _, store = reseal(evidence, tmp_path, evidence.key)
    (run,) = store.folders()
    record = run / "record.json"
    record.write_text(record.read_text().replace('"hostname": "node"', '"hostname": "mode"'))
    assert "node-1/run-a: record.json was changed since it was sealed" in said(check(store.root, evidence))
    shutil.rmtree(run)
    assert "node-1/run-a: was sealed (000001.manifest.json) and is no longer here" in said(check(store.root, evidence))


def test_another_record_of_a_run_that_was_sealed_before_is_named(evidence: Evidence, tmp_path: Path) -> None:
    _, store = reseal(evidence, tmp_path, evidence.key)
    shutil.rmtree(store.folders()[0])
    Maker(store, evidence.maker.bundle, evidence.maker.spec, evidence.maker.trace)("run-a", start=77)
    second = seal_runs(store, store.folders(), None, load_key(evidence.key), evidence.folder)
    verdict = check(second.path, evidence)
    assert "run node-1/run-a was sealed with another record in seal 1" in said(verdict)


# -- sealing ----------------------------------------------------------------------------------------------------------


def test_a_damaged_run_is_refused_by_name_and_nothing_is_left(evidence: Evidence, tmp_path: Path) -> None:
    shutil.copytree(evidence.maker.store.root / "node-1", tmp_path / "store" / "node-1")
    store = Store(tmp_path / "store")
    (run,) = store.folders()
    log = run / "worker.log"
    for wrong, sentence in (
        (lambda: log.write_text("else"), "worker.log was changed"),
        (log.unlink, "worker.log is missing"),
        (lambda: log.symlink_to("/etc/hostname"), "worker.log: is a symbolic link"),
        (lambda: (log.unlink(), log.mkdir(), (log / "x").write_text("")), "worker.log/x is not among the files"),
        (lambda: (run / "record.json").write_text("{"), "truncated or damaged"),
        (lambda: run.rename(run.with_name("run-z")), "truncated|is of run"),
    ):
        wrong()
        with pytest.raises(StoreError, match=f"not sealed: node-1/run-.*({sentence})"):
            seal_runs(store, store.folders(), tmp_path / "out.zip", None, evidence.folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]
    assert not (store.root / "seals").exists()


def test_a_run_whose_workload_bundle_is_gone_or_damaged_is_refused(
    evidence: Evidence, tmp_path: Path, make_bundle: Callable[..., object]
) -> None:
    maker = evidence.maker
    own = Maker(Store(tmp_path / "store"), make_bundle(tmp_path / "own", gate=GATE), maker.spec, maker.trace)  # type: ignore[arg-type]
    own("run-b")
    (tmp_path / "own" / "labels.npz").write_bytes(b"other")
    with pytest.raises(StoreError, match=r"run-b: .*labels\.npz: wrong digest"):
        seal_runs(own.store, own.store.folders(), tmp_path / "out.zip", None, tmp_path / "cache")
    shutil.rmtree(tmp_path / "own")
    with pytest.raises(StoreError, match=r"run-b: its workload bundle sha256:\w+ is neither in"):
        seal_runs(own.store, own.store.folders(), tmp_path / "out.zip", None, tmp_path / "cache")
    shutil.copytree(evidence.folder / "bundle", tmp_path / "cache" / "bundles" / "elsewhere")
    assert seal_runs(own.store, own.store.folders(), tmp_path / "out.zip", None, tmp_path / "cache").path.exists()


def test_a_seal_overwrites_nothing(evidence: Evidence, tmp_path: Path) -> None:
    _, store = reseal(evidence, tmp_path, None)
    (tmp_path / "out.zip").write_text("mine")
    with pytest.raises(InputError, match="never overwritten"):
        seal_runs(store, store.folders(), tmp_path / "out.zip", None, evidence.folder)
    assert (tmp_path / "out.zip").read_text() == "mine"
    assert len(list((store.root / "seals").glob("*.manifest.json"))) == 1


def test_a_kill_after_the_chain_leaves_a_number_without_a_file_and_no_number_twice(
    evidence: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, store = reseal(evidence, tmp_path, None)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            seal_runs(store, store.folders(), tmp_path / "out.zip", None, evidence.folder)
    third = seal_runs(store, store.folders(), tmp_path / "out.zip", None, evidence.folder)
    assert third.manifest.sequence == 3
    assert states(check(third.path, evidence, store.root))["chain"] == "holds"
    assert not list(tmp_path.glob(".*"))


def test_a_large_archive_uses_fields_that_others_read_too(
    evidence: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ZIP64, which begins at 4 GiB, is made to begin at once."""
    monkeypatch.setattr("npubench.record.archive._LIMIT_COUNT", 3)
    path, _ = reseal(evidence, tmp_path, evidence.key)
    assert check(path, evidence).trusted
    assert not check(path, evidence).differs
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None


def test_a_calibration_that_a_run_speaks_of_comes_along(evidence: Evidence, tmp_path: Path) -> None:
    shutil.copytree(evidence.maker.store.root / "node-1", tmp_path / "store" / "node-1")
    store = Store(tmp_path / "store")
    (run,) = store.folders()
    digest = json.loads(write_calibration(store.root, "node-1", {"floor_ns": 5000}).read_text())["digest"]
    write_supervised(run, replace(read_supervised(run), calibration=digest))
    (run / "record.json").write_text(build_record(run, evidence.maker.bundle, fidelity).model_dump_json())
    sealed = seal_runs(store, store.folders(), tmp_path / "out.zip", None, evidence.folder)
    assert f"calibration/{digest.removeprefix('sha256:')}.json" in [file.name for file in sealed.manifest.files]
    verdict = check(sealed.path, evidence)
    assert not verdict.differs, said(verdict)


def test_a_store_that_is_written_to_is_not_sealed(evidence: Evidence, tmp_path: Path) -> None:
    _, store = reseal(evidence, tmp_path, None)
    with store.writing(), pytest.raises(StoreError, match="is writing to this store"):
        seal_runs(Store(store.root), store.folders(), tmp_path / "out.zip", None, evidence.folder)


# -- keys -------------------------------------------------------------------------------------------------------------


def test_a_key_is_its_owners_alone_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "new" / "key.pem"
    public = make_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert public_text(load_key(path)) == public
    with pytest.raises(InputError, match="never overwritten"):
        make_key(path)
    os.chmod(path, 0o644)  # noqa: PTH101
    with pytest.raises(InputError, match="chmod 600"):
        load_key(path)


def test_a_locked_key_opens_by_its_passphrase_alone(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    public = make_key(path, "sesame")
    assert public_text(load_key(path, "sesame")) == public
    for passphrase, sentence in (("", "is locked; set"), ("other", "by the passphrase in")):
        with pytest.raises(InputError, match=sentence):
            load_key(path, passphrase)
    make_key(tmp_path / "open.pem")
    with pytest.raises(InputError, match="is not locked"):
        load_key(tmp_path / "open.pem", "sesame")
