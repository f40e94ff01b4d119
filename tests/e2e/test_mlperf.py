"""``npubench export mlperf`` and ``npubench import mlperf`` as their users type them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from npubench.record.power_log import parse_log

from .scenes import Scenes, with_energy
from .world import World

SUMMARY = """\
================================================
MLPerf Results Summary
================================================
SUT name : A-SUT
Scenario : SingleStream
Mode     : PerformanceOnly
90th percentile latency (ns) : 4297295
Result is : VALID

================================================
Additional Stats
================================================
Mean latency (ns)               : 4291040
"""


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """ATOM's published BERT row: under Offline, and single-stream by its own log."""
    owner = tmp_path / "inference_results_v3.0" / "closed" / "rebellions"
    place = owner / "results" / "ATOM" / "bert-99" / "Offline" / "performance" / "run_1"
    place.mkdir(parents=True)
    (place / "mlperf_log_summary.txt").write_text(SUMMARY)
    (owner / "systems").mkdir()
    described = {"accelerator_model_name": "RBLN ATOM", "accelerators_per_node": "1", "number_of_nodes": "1"}
    (owner / "systems" / "ATOM.json").write_text(json.dumps(described))
    return owner.parent.parent


def test_a_smoke_run_is_refused_and_its_preview_has_logs_and_power(scenes: Scenes, tmp_path: Path) -> None:
    record = with_energy(scenes, "offline")
    asked = ("export", "mlperf", record["run_id"], "--store", scenes.store, "--out", tmp_path / "out", "--submitter", "ACME")
    done = scenes.world(*asked)
    assert done.code == 2
    assert "only runs of grade official" in done.sentence
    assert not (tmp_path / "out").exists()
    done = scenes.world(*asked, "--preview", "--json")
    assert done.code == 0, done.err
    content = json.loads(done.out)
    assert content["preview"]
    assert {"model", "minimum duration", "accuracy log", "hardware", "power"} <= {
        g["check"] for g in content["gaps"][record["run_id"]]
    }
    (spl,) = Path(content["folder"]).rglob("spl.txt")
    times, _ = parse_log(spl.read_text())
    assert times.size > 2
    assert (spl.parent / "mlperf_log_detail.txt").exists()


def test_published_rows_are_kept_and_listed_beside_nothing_measured(world: World, published: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    done = world("import", "mlperf", published, "--store", store)
    assert done.code == 0, done.err
    assert "published, not measured by npubench" in done.err
    listed = world("import", "mlperf", "--list", "--store", store)
    assert listed.code == 0, listed.err
    assert "SingleStream" in listed.out
    assert "4.297295 ms" in listed.out
    assert "it lies under Offline, and its own log says SingleStream" in listed.out
    assert "never ranked" in listed.out
    (row,) = json.loads(world("import", "mlperf", "--list", "--json", "--store", store).out)
    assert (row["round"], row["scenario"], row["folder_scenario"], row["value"]) == ("3.0", "SingleStream", "Offline", 4297295)
    # Rows are no runs: whatever reads runs finds none.
    done = world("report", "--store", store)
    assert done.code == 2
    assert "Traceback" not in done.err


def test_what_cannot_be_read_is_said_in_a_sentence(world: World, published: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    for asked, why in (
        ((), "name the folder"),
        ((tmp_path / "nowhere",), "no such file"),
        ((store,), "no published"),
        ((published, "--round", "three"), "a round is a number"),
    ):
        store.mkdir(exist_ok=True)
        done = world("import", "mlperf", *asked, "--store", store)
        assert done.code == 2, asked
        assert why in done.sentence
    next(published.rglob("mlperf_log_summary.txt")).write_text("rubbish")
    done = world("import", "mlperf", published, "--store", store)
    assert done.code == 1
    assert "no summary of LoadGen's" in done.err


@pytest.mark.parametrize(
    ("option", "value", "nearest"),
    [("--division", "clsed", "closed"), ("--suite", "egde", "edge"), ("--availability", "soon", "")],
)
def test_an_option_that_cannot_be_names_what_can(world: World, tmp_path: Path, option: str, value: str, nearest: str) -> None:
    done = world("export", "mlperf", "some-run", "--out", tmp_path / "out", option, value)
    assert done.code == 2
    assert option in done.sentence
    assert nearest in done.sentence
