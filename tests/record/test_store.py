"""A store loses nothing that was finished, whatever kills, fills or damages it, and says which record cannot be read."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from npubench.contract.runspec import RunSpec
from npubench.errors import RecordError, StoreError
from npubench.record import store as module
from npubench.record.migrate import STEPS
from npubench.record.schema import Record
from npubench.record.store import Entry, Store, file_digests, read_record

Make = Callable[..., Record]
Publish = Callable[..., Entry]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def named(make_record: Make, make_spec: Callable[..., RunSpec]) -> Callable[[str], Record]:
    return lambda run_id: make_record(make_spec(run_id=run_id))


Named = Callable[[str], Record]


def ids(store: Store) -> list[str]:
    return [entry.record.run_id for entry in store.read()[0]]


def test_a_published_run_is_read_with_everything_beside_it(store: Store, named: Named) -> None:
    with store.writing():
        folder = store.open_run("a")
        (folder / "loadgen").mkdir()
        (folder / "loadgen" / "log.txt").write_text("log")
        final = store.publish(folder, named("a"))
    assert final == store.root / "node-1" / "a"
    assert (final / "loadgen" / "log.txt").read_text() == "log"
    assert not folder.exists()
    ((entry,), unreadable) = store.read()
    assert (entry.folder, entry.record, unreadable) == (final, named("a"), [])
    assert store.has("node-1", "a")
    assert not store.has("node-1", "b")
    assert not store.has("node-2", "a")


def test_an_empty_or_missing_store_has_nothing(store: Store) -> None:
    assert store.read() == ([], [])
    store.root.mkdir()
    assert store.read() == ([], [])


def test_runs_are_listed_by_system_and_name(
    store: Store, make_record: Make, make_spec: Callable[..., RunSpec], publish: Publish
) -> None:
    for system, run in (("n2", "a"), ("n1", "b"), ("n1", "a")):
        publish(store, make_record(make_spec(run_id=run), system_id=system))
    assert [(folder.parent.name, folder.name) for folder in store.folders()] == [("n1", "a"), ("n1", "b"), ("n2", "a")]


def test_a_run_in_progress_is_no_run(store: Store, named: Named, publish: Publish) -> None:
    publish(store, named("a"))
    folder = store.open_run("b")
    (folder / "record.json").write_text(named("b").model_dump_json())
    assert ids(store) == ["a"]
    assert not store.has("node-1", "b")


def test_what_a_killed_process_left_open_is_removed_and_nothing_else(store: Store, named: Named, publish: Publish) -> None:
    publish(store, named("a"))
    folder = store.open_run("b")
    (folder / "trace.npz").write_bytes(b"half")
    with store.writing():
        assert not folder.exists()
        assert ids(store) == ["a"]


@pytest.mark.parametrize("point", ["fsync", "rename"])
def test_a_kill_at_any_moment_of_publishing_loses_at_most_the_run_in_progress(
    store: Store, named: Named, publish: Publish, point: str
) -> None:
    publish(store, named("a"))
    script = f"""
import os, pathlib, sys
from npubench.record.store import Store, read_record
store = Store(pathlib.Path(sys.argv[1]))
record = read_record(store.root / "node-1" / "a" / "record.json").model_copy(update={{"run_id": "b"}})
folder = store.open_run("b")
def die(*_):
    os._exit(9)
if "{point}" == "fsync":
    os.fsync = die
else:
    pathlib.Path.rename = die
store.publish(folder, record)
"""
    done = subprocess.run([sys.executable, "-c", script, str(store.root)], capture_output=True, timeout=300, check=False)
    assert done.returncode == 9, done.stderr
    assert ids(store) == ["a"]
    with store.writing():
        assert ids(store) == ["a"]
        assert sorted(path.name for path in store.root.iterdir()) == [".lock", "node-1"]


def test_a_record_is_on_disk_before_it_is_in_its_place(store: Store, named: Named, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, rename = os.fsync, Path.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append(Path(f"/proc/self/fd/{fd}").readlink().name), fsync(fd))[1])
    monkeypatch.setattr(Path, "rename", lambda path, to: (order.append("rename"), rename(path, to))[1])
    folder = store.open_run("a")
    (folder / "trace.npz").write_bytes(b"x")
    store.publish(folder, named("a"))
    assert order == ["record.json", "trace.npz", "a", "rename", "node-1"]


def test_a_second_writer_is_refused_and_the_first_goes_on(store: Store, named: Named, publish: Publish) -> None:
    with store.writing():
        folder = store.open_run("a")
        with (
            pytest.raises(
                StoreError, match=r"store: another npubench is writing to this store; wait for it or choose another --store"
            ),
            Store(store.root).writing(),
        ):
            pytest.fail("two writers")
        assert folder.exists()
        store.publish(folder, named("a"))
    with Store(store.root).writing():
        assert ids(store) == ["a"]


def test_the_lock_ends_with_the_block_whatever_ends_it(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), store.writing():
        raise KeyboardInterrupt
    with store.writing():
        pass


def test_a_store_that_cannot_be_made_says_where_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "store"):
        refused = pytest.raises(StoreError, match=r"file.*: the store cannot be written: .*; choose another with --store")
        with refused, Store(root).writing():
            pytest.fail("written")


def test_a_run_folder_that_cannot_be_made_says_where(store: Store) -> None:
    store.root.mkdir()
    (store.root / ".open").write_text("a file in the way")
    with pytest.raises(StoreError, match=r"\.open/a: the store cannot be written"):
        store.open_run("a")


def full(*arguments: Any, **more: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(("owner", "name"), [(os, "fsync"), (Path, "rename"), (Path, "open")])
def test_a_full_disk_says_so_and_keeps_what_was_finished(
    store: Store, named: Named, publish: Publish, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    publish(store, named("a"))
    folder = store.open_run("b")
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, full)
        with pytest.raises(StoreError, match=r"node-1/b: .*no space left on device; finished runs are kept"):
            store.publish(folder, named("b"))
    assert ids(store) == ["a"]
    with store.writing():
        store.publish(store.open_run("b"), named("b"))
    assert ids(store) == ["a", "b"]


def test_a_run_is_never_replaced(
    store: Store, named: Named, make_record: Make, make_spec: Callable[..., RunSpec], publish: Publish
) -> None:
    publish(store, named("a"))
    other = make_record(make_spec(run_id="a"), status="failed", reason="lost")
    with pytest.raises(StoreError, match=r"node-1/a: there is such a run already; records are never replaced \(use --round\)"):
        publish(store, other)
    assert [entry.record.status for entry in store.read()[0]] == ["ok"]


def record_path(store: Store, run: str = "a") -> Path:
    return store.root / "node-1" / run / "record.json"


def changed(**changes: Any) -> Callable[[str], str]:
    return lambda text: json.dumps({**json.loads(text), **changes})


DAMAGED: list[tuple[str, Callable[[str], str], str]] = [
    ("empty", lambda text: "", "truncated or damaged"),
    ("truncated", lambda text: text[: len(text) // 2], "truncated or damaged"),
    ("binary", lambda text: "\x00\x01", "truncated or damaged"),
    ("list", lambda text: "[]", "not a record: key 'schema_version' is missing"),
    ("other", lambda text: '{"a": 1}', "not a record: key 'schema_version' is missing"),
    ("newer", changed(schema_version=99), "schema_version is 99, this npubench reads up to 3; install a newer npubench"),
    ("older", changed(schema_version=0), "schema_version"),
    ("version", changed(schema_version="1"), "not a record: key 'schema_version' is missing"),
    ("unknown", changed(colour="red"), "colour"),
    ("status", changed(status="fine"), "status"),
    ("nan", lambda text: text.replace('"memory_bytes":17179869184', '"memory_bytes":NaN'), "memory_bytes"),
    ("spec", changed(spec={"load": []}), "spec"),
    ("spec-kind", changed(spec=[]), "spec"),
    ("spec-null", changed(spec=None), "spec"),
]


@pytest.mark.parametrize(("damage", "words"), [case[1:] for case in DAMAGED], ids=[case[0] for case in DAMAGED])
def test_a_record_that_cannot_be_read_says_why_and_hides_no_other(
    store: Store, named: Named, publish: Publish, damage: Callable[[str], str], words: str
) -> None:
    for run in ("a", "b"):
        publish(store, named(run))
    path = record_path(store)
    path.write_text(damage(named("a").model_dump_json()))
    entries, (unreadable,) = store.read()
    assert [entry.record.run_id for entry in entries] == ["b"]
    assert unreadable.folder == path.parent
    assert str(path) in unreadable.reason
    assert words in unreadable.reason
    with pytest.raises(RecordError):
        read_record(path)


def test_bytes_that_are_no_text_are_a_damaged_record(store: Store, named: Named, publish: Publish) -> None:
    publish(store, named("a"))
    record_path(store).write_bytes(b"\xff\xfe\x00")
    assert "truncated or damaged" in store.read()[1][0].reason


def test_a_missing_record_says_so(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"record\.json: no such record"):
        read_record(tmp_path / "record.json")


def test_a_record_that_is_a_folder_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "record.json").mkdir()
    with pytest.raises(RecordError, match=r"record\.json: cannot be read: is a directory"):
        read_record(tmp_path / "record.json")


V1_ENERGY = {
    "sensor": "card power",
    "domain": "card",
    "evidence": "device power gauge",
    "joules": {"value": 3.0, "unit": "J"},
    "idle_watts": {"value": None, "unit": "W", "reason": "no idle baseline"},
    "readings": 12,
    "update_period_ns": None,
    "simulated": False,
}


def test_an_older_record_is_brought_up_step_by_step(
    store: Store, named: Named, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(store, named("a"))
    old = json.loads(record_path(store).read_text())
    old["schema_version"], old["outcome"] = 0, old.pop("status")
    record_path(store).write_text(json.dumps(old))

    def step(data: dict[str, Any]) -> dict[str, Any]:
        return {**{key: value for key, value in data.items() if key != "outcome"}, "schema_version": 1, "status": data["outcome"]}

    old["energy"] = [V1_ENERGY]
    record_path(store).write_text(json.dumps(old))
    monkeypatch.setitem(STEPS, 0, step)
    read = read_record(record_path(store))
    assert (read.status, read.energy[0].joules.value) == (named("a").status, 3.0)
    # What version 1 did not work out is absent, and says so.
    assert read.energy[0].samples_per_joule.value is None
    assert "did not keep it" in (read.energy[0].samples_per_joule.reason or "")
    assert read.model_copy(update={"energy": ()}) == named("a")


def test_the_digests_cover_everything_but_the_record(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b").write_bytes(b"abc")
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "record.json").write_text("{}")
    found = file_digests(tmp_path)
    assert list(found) == ["a", "sub/b"]
    assert found["sub/b"] == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_nothing_of_a_store_needs_the_network_or_a_server() -> None:
    assert not {"socket", "sqlite3", "http"} & set(vars(module))
