"""Key, seal and verify as a testbed and its reviewer use them: one seals what it measured, the other believes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .world import PLAIN, Result, World, read_records

Inside = Callable[..., Result]


@pytest.fixture(scope="module")
def measured(new_world: Callable[[str], World]) -> World:
    """A world with a store of two runs, a key, a seal and a trust list."""
    world = new_world("sealing")
    suite = world.suite({"sim": PLAIN}, [{"workloads": ["probe"], "targets": ["sim"], "scenarios": ["single-stream", "offline"]}])
    done = world("run", suite, "--store", world.store())
    assert done.code in (0, 1), done.err
    key = world("key", "--out", "key.pem", "--json")
    assert key.code == 0, key.err
    (world.folder / "trusted.toml").write_text(f'[key.testbed]\npublic = "{json.loads(key.out)["public"]}"\n', encoding="utf-8")
    # A key that others may read is refused for that; by this process's mask it might be nobody's but its own.
    (world.folder / "trusted.toml").chmod(0o644)
    sealed = world("seal", "--store", world.store(), "--key", "key.pem", "--out", "evidence.zip")
    assert sealed.code == 0, sealed.err
    assert sealed.out.strip().splitlines()[-1] == str(world.folder / "evidence.zip")
    return world


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are looked at in this process, but where the command has one of its own: each fresh one takes its time to start."""
    monkeypatch.setattr("npubench.verbs.verify._processes", lambda: 0)


def test_a_reviewer_checks_what_a_testbed_sealed(measured: World) -> None:
    """In a process of its own, elsewhere, with neither store nor cache."""
    away = World(measured.folder / "away", measured.folder / "away" / "cache")
    for name in ("evidence.zip", "trusted.toml"):
        shutil.copy(measured.folder / name, away.folder / name)
    done = away("verify", "evidence.zip", "--trust", "trusted.toml", "--json")
    verdict = json.loads(done.out)
    assert (done.code, verdict["verdict"], verdict["trusted"]) == (0, "holds", True), done.out
    records = read_records(measured.store())
    assert {run["run_id"]: run["status"] for run in verdict["runs"]} == {name: one["status"] for name, one in records.items()}
    assert list((away.folder / "tmp").iterdir()) == []
    assert not (away.folder / "npubench-store").exists()


def test_a_store_and_a_run_are_checked_where_they_lie(measured: World, inside: Inside) -> None:
    store = inside(measured, "verify", measured.store(), "--trust", "trusted.toml")
    assert store.code == 0, store.out
    assert "2, here as they were" in store.out
    run = next(measured.store().glob("*/*/record.json")).parent
    one = inside(measured, "verify", run)
    assert one.code == 0, one.out
    assert "a folder has no signature" in one.out


def test_a_key_that_is_not_trusted_is_an_exit_code_unless_it_is_allowed(measured: World, inside: Inside) -> None:
    done = inside(measured, "verify", "evidence.zip")
    assert done.code == 1
    assert "signed by a key that is not in the trust list" in done.out
    assert done.out.strip().endswith("holds, but no key that is trusted signed it")
    assert inside(measured, "verify", "evidence.zip", "--allow-untrusted").code == 0


def test_an_edited_figure_is_named_with_its_key(measured: World, inside: Inside, tmp_path: Path) -> None:
    shutil.copytree(measured.store(), tmp_path / "store")
    record = next((tmp_path / "store").glob("*/*offline*/record.json"))
    data: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    data["metrics"]["throughput"]["value"] *= 2
    record.write_text(json.dumps(data), encoding="utf-8")
    done = inside(measured, "verify", tmp_path / "store")
    assert done.code == 1
    assert "metrics.throughput.value: recorded" in done.out
    assert f"{record.parent.name}: record.json was changed since it was sealed" in done.out


def test_runs_are_sealed_by_id_beginning_or_folder(measured: World, inside: Inside) -> None:
    runs = sorted(read_records(measured.store()))
    folder = next(measured.store().glob(f"*/{runs[0]}"))
    for n, name in enumerate((runs[0], runs[0][: len("probe.fp32.o")], folder)):
        done = inside(measured, "seal", name, "--store", measured.store(), "--unsigned", "--out", f"one-{n}.zip", "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out)["runs"] == 1
    done = inside(measured, "verify", "one-2.zip", "--previous", measured.store(), "--allow-untrusted", "--json")
    checks = {check["name"]: check["state"] for check in json.loads(done.out)["checks"]}
    assert (done.code, checks["chain"], checks["signature"]) == (0, "holds", "unknown")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["seal", "--store", "store"], "no key to sign with"),
        (["seal", "--store", "store", "--key", "nowhere.pem"], "no key to sign with"),
        (["seal", "--store", "store", "--key", "trusted.toml"], "chmod 600"),
        (["seal", "--store", "store", "--key", "key.pem", "--unsigned"], "goes without --key"),
        (["seal", "probe", "--store", "store", "--unsigned"], "'probe' may be"),
        (["seal", "prope", "--store", "store", "--unsigned"], "there is no run 'prope'"),
        (["seal", "away", "--store", "store", "--unsigned"], "not a run of store"),
        (["seal", "--store", "nowhere", "--unsigned"], "there is no run in this store"),
        (["seal", "--store", "store", "--key", "key.pem", "--out", "evidence.zip"], "never overwritten"),
        (["key", "--out", "key.pem"], "never overwritten"),
        (["key", "--show", "--out", "nowhere.pem"], "cannot be read"),
        (["verify", "nowhere"], "no such file or folder"),
        (["verify", "trusted.toml"], "not an evidence bundle"),
        (["verify", "tmp"], "a folder without runs"),
        (["verify", "evidence.zip", "--trust", "nowhere.toml"], "trust list cannot be read"),
        (["verify", "evidence.zip", "--trust", "key.pem"], "not valid TOML"),
        (["verify", "evidence.zip", "--trust", "wrong.toml"], "key.a.public"),
        (["verify", "evidence.zip", "--previous", "trusted.toml"], "neither a store nor an evidence bundle"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_what_is_asked_for_wrongly_is_one_sentence(measured: World, inside: Inside, arguments: list[str], sentence: str) -> None:
    (measured.folder / "away").mkdir(exist_ok=True)
    (measured.folder / "wrong.toml").write_text('[key.a]\npublic = "short"\n', encoding="utf-8")
    done = inside(measured, *arguments)
    assert done.code == 2, done.err
    assert sentence in done.sentence, done.err
    assert "Traceback" not in done.err


def test_a_damaged_run_is_not_sealed(measured: World, inside: Inside, tmp_path: Path) -> None:
    shutil.copytree(measured.store(), tmp_path / "store")
    log = next((tmp_path / "store").glob("*/*/worker.log"))
    log.write_text("it said nothing")
    done = inside(measured, "seal", "--store", tmp_path / "store", "--unsigned", "--out", tmp_path / "x.zip")
    assert done.code == 2
    assert f"{log.parent.name}: worker.log was changed" in done.sentence
    assert not (tmp_path / "x.zip").exists()


def test_a_locked_key_signs_with_its_passphrase(measured: World) -> None:
    locked = {"NPUBENCH_KEY_PASSPHRASE": "sesame"}
    made, without, signed = (
        measured("key", "--out", "locked.pem", env=locked),
        measured("seal", "--store", "store", "--key", "locked.pem", "--out", "locked.zip"),
        measured("seal", "--store", "store", "--key", "locked.pem", "--out", "locked.zip", env=locked),
    )
    assert (made.code, without.code, signed.code) == (0, 2, 0), signed.err
    assert "NPUBENCH_KEY_PASSPHRASE" in without.sentence
