"""A run of grade official in MLPerf's folders: LoadGen's logs byte for byte, nothing invented, what would not pass is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from npubench.contract.runspec import RunSpec, Scenario
from npubench.errors import InputError, RecordError
from npubench.record.manifest import digest_of
from npubench.record.mlperf.describe import NOT_MEASURED, NOT_STATED, SYSTEM_FIELDS, Statement, headline
from npubench.record.mlperf.gaps import SEEDS
from npubench.record.mlperf.loadgen_log import read_summary
from npubench.record.mlperf.published import read_published
from npubench.record.mlperf.submission import GAPS, PREVIEW, SUMMARY_RESULTS, export_runs
from npubench.record.schema import Record

from .published import detail, offline, p90, summary

ACME = Statement("ACME", "open", "edge", "rdi")

SEEDED = "".join(f"{name} : {seed}\n" for name, seed in SEEDS.items())

#: What LoadGen writes of each scenario, and what MLPerf takes of it.
SAID = {
    Scenario.SINGLE_STREAM: (
        summary("SingleStream", p90(4297295), estimates=" * Early stopping 90th percentile estimate: 4297444"),
        4.297444,
    ),
    Scenario.MULTI_STREAM: (
        summary(
            "MultiStream",
            "99th percentile latency (ns) : 3969791",
            estimates=" * Early stopping 99th percentile estimate: 3970076",
        ),
        3.970076,
    ),
    Scenario.SERVER: (summary("Server", "Completed samples per second    : 102.48"), 102.48),
    Scenario.OFFLINE: (summary("Offline", offline("7245.87")), 7245.87),
}


@pytest.fixture
def official(
    tmp_path: Path, make_spec: Callable[..., RunSpec], make_record: Callable[..., Record]
) -> Callable[..., tuple[Path, Record]]:
    """Make a run's folder with LoadGen's logs, and its record, of grade official unless told otherwise."""

    def make(
        run_id: str = "run-a",
        scenario: Scenario = Scenario.OFFLINE,
        text: str = "",
        windows: tuple[str, ...] = ("measure",),
        **changes: Any,
    ) -> tuple[Path, Record]:
        folder = tmp_path / "runs" / run_id
        text = text or SAID[scenario][0]
        digests = {}
        for n, window in enumerate(windows):
            place = folder / "loadgen" / window
            place.mkdir(parents=True)
            last = n == len(windows) - 1
            said = {
                "mlperf_log_summary.txt": text if last else "an earlier window\n",
                "mlperf_log_detail.txt": detail(scenario.value),
            }
            for name, content in said.items():
                (place / name).write_text(content)
                digests[f"loadgen/{window}/{name}"] = digest_of(content.encode())
        spec = make_spec(scenario, run_id=run_id, grade=changes.pop("grade", "official"), **changes.pop("spec", {}))
        record = make_record(spec, **{"simulated": False, "status": "ok", **changes})
        provenance = record.provenance.model_copy(update={"files": digests})
        return folder, record.model_copy(update={"provenance": provenance})

    return make


def checks(out: Path, run_id: str = "run-a", owner: str = "open/ACME") -> dict[str, str]:
    content = json.loads((out / owner / GAPS).read_text())
    return {gap["check"]: gap["why"] for gap in content["runs"][run_id]}


@pytest.mark.parametrize("scenario", list(Scenario))
def test_every_scenario_lies_where_mlperf_looks_for_it(tmp_path: Path, official: Any, scenario: Scenario) -> None:
    folder, record = official(scenario=scenario)
    out = tmp_path / "out"
    export_runs([(folder, record)], out, ACME, preview=False)
    name = {"single-stream": "SingleStream", "multi-stream": "MultiStream", "server": "Server", "offline": "Offline"}[
        scenario.value
    ]
    place = out / "open" / "ACME" / "results" / "node-1_card_fp32" / "tiny" / name
    for log in ("mlperf_log_summary.txt", "mlperf_log_detail.txt"):
        assert (place / "performance" / "run_1" / log).read_bytes() == (folder / "loadgen" / "measure" / log).read_bytes()
    assert sorted(
        path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file() and place not in path.parents
    ) == [
        "open/ACME/documentation/README.md",
        f"open/ACME/{GAPS}",
        "open/ACME/src/tiny/README.md",
        "open/ACME/systems/node-1_card_fp32.json",
        SUMMARY_RESULTS,
    ]
    (row,) = json.loads((out / SUMMARY_RESULTS).read_text())
    assert (row["Scenario"], row["Performance_Result"], row["has_power"], row["a#"]) == (name, SAID[scenario][1], False, 1)
    assert (
        row["Performance_Units"]
        == {"SingleStream": "Latency (ms)", "MultiStream": "Latency (ms)", "Server": "Queries/s", "Offline": "Samples/s"}[name]
    )
    assert "ID" not in row


def test_what_was_not_captured_is_said_and_what_is_declared_by_mlperfs_names_is_taken(tmp_path: Path, official: Any) -> None:
    folder, record = official()
    system = record.system.model_copy(
        update={"declared": {"cooling": "air", "host_storage_type": "NVMe", "submitter": "Someone else"}}
    )
    out = tmp_path / "out"
    export_runs([(folder, record.model_copy(update={"system": system}))], out, ACME, preview=False)
    described = json.loads((out / "open" / "ACME" / "systems" / "node-1_card_fp32.json").read_text())
    assert tuple(described) == SYSTEM_FIELDS
    assert (described["cooling"], described["host_storage_type"], described["submitter"]) == ("air", "NVMe", "ACME")
    assert (described["accelerator_model_name"], described["accelerators_per_node"]) == ("ACME-1", "1")
    assert described["host_networking"] == described["accelerator_memory_capacity"] == NOT_MEASURED
    why = checks(out)["system description"]
    assert "host_networking" in why
    assert "cooling" not in why


def test_a_processor_is_no_accelerator(tmp_path: Path, official: Any) -> None:
    folder, record = official()
    system = record.system.model_copy(update={"device": {"name": "cpu", "kind": "CPUExecutionProvider"}})
    export_runs([(folder, record.model_copy(update={"system": system}))], tmp_path / "out", ACME, preview=False)
    described = json.loads((tmp_path / "out" / "open" / "ACME" / "systems" / "node-1_card_fp32.json").read_text())
    assert (described["accelerators_per_node"], described["accelerator_model_name"]) == ("0", "N/A")


def test_the_window_that_was_measured_last_is_handed_on(tmp_path: Path, official: Any) -> None:
    windows = ("measure", "measure-2", "measure-10")
    folder, record = official(windows=windows)
    export_runs([(folder, record)], tmp_path / "out", ACME, preview=False)
    (copy,) = (tmp_path / "out").rglob("mlperf_log_summary.txt")
    assert copy.read_text() == SAID[Scenario.OFFLINE][0]


def test_a_log_that_was_changed_since_is_not_handed_on(tmp_path: Path, official: Any) -> None:
    folder, record = official()
    log = folder / "loadgen" / "measure" / "mlperf_log_summary.txt"
    log.write_text(log.read_text().replace("7245.87", "9245.87"))
    with pytest.raises(RecordError, match="is not the file that the record was made with"):
        export_runs([(folder, record)], tmp_path / "out", ACME, preview=False)
    assert not (tmp_path / "out").exists()


def test_a_run_without_logs_is_said_to_have_none(tmp_path: Path, official: Any) -> None:
    _, record = official()
    with pytest.raises(RecordError, match="no logs of a measured window"):
        export_runs([(tmp_path, record)], tmp_path / "out", ACME, preview=False)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"grade": "smoke"}, "grade smoke: only runs of grade official"),
        ({"grade": "nightly"}, "grade nightly: only runs of grade official"),
        ({"status": "invalid", "reason": "too-short: 3"}, "the run is invalid (too-short: 3)"),
        ({"simulated": True}, "the device is SIMULATED"),
    ],
)
def test_what_may_not_be_published_is_refused_and_a_preview_says_so_in_every_file(
    tmp_path: Path, official: Any, changes: dict[str, Any], why: str
) -> None:
    folder, record = official(**changes)
    out = tmp_path / "out"
    with pytest.raises(InputError) as caught:
        export_runs([(folder, record)], out, ACME, preview=False)
    assert why in str(caught.value)
    assert "--preview" in str(caught.value)
    assert not out.exists()
    export_runs([(folder, record)], out, ACME, preview=True)
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) > 8
    assert [path.name for path in files if PREVIEW not in path.read_text()] == []
    for path in files:
        if path.suffix == ".json":
            json.loads(path.read_text())
    # MLPerf's reader of detail logs wants a line of LoadGen's first.
    assert next(path for path in files if path.name == "mlperf_log_detail.txt").read_text().startswith(":::MLLOG")
    found = read_published(out)
    assert not found.rows
    assert "a preview that npubench exported" in found.refused[0].reason


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_a_run_without_a_figure_has_no_preview_either(tmp_path: Path, official: Any, status: str) -> None:
    folder, record = official(status=status)
    with pytest.raises(InputError, match="no figure"):
        export_runs([(folder, record)], tmp_path / "out", ACME, preview=True)


def test_an_official_export_holds_no_notice_of_a_preview(tmp_path: Path, official: Any) -> None:
    folder, record = official()
    export_runs([(folder, record)], tmp_path / "out", ACME, preview=False)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file() and "NOT A SUBMISSION" in path.read_text()]


def test_two_runs_of_one_place_are_refused_by_name(tmp_path: Path, official: Any) -> None:
    one, other = official("run-a"), official("run-b")
    with pytest.raises(InputError, match="run-b: another of the runs has the place"):
        export_runs([one, other], tmp_path / "out", ACME, preview=False)


def test_scenarios_of_one_system_share_its_description_unless_it_changed(tmp_path: Path, official: Any) -> None:
    one, other = official("run-a"), official("run-b", Scenario.SERVER)
    exported = export_runs([one, other], tmp_path / "out", ACME, preview=False)
    assert set(exported.gaps) == {"run-a", "run-b"}
    assert len(json.loads((tmp_path / "out" / SUMMARY_RESULTS).read_text())) == 2
    system = other[1].system.model_copy(update={"versions": {"sdk": "2.0"}})
    with pytest.raises(InputError, match="described otherwise than by the runs before, in framework"):
        export_runs([one, (other[0], other[1].model_copy(update={"system": system}))], tmp_path / "new", ACME, preview=False)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, official: Any) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("kept")
    with pytest.raises(InputError, match="is there already"):
        export_runs([official()], tmp_path / "out", ACME, preview=False)


@pytest.mark.parametrize("name", ["../up", "a/b", ".", "..", "a\nb", "x" * 90])
def test_a_submitters_name_leads_nowhere_else(tmp_path: Path, official: Any, name: str) -> None:
    with pytest.raises(InputError, match="it names a folder"):
        export_runs([official()], tmp_path / "out", Statement(name), preview=False)


def test_what_mlperf_would_not_accept_is_named(tmp_path: Path, official: Any) -> None:
    short = SAID[Scenario.OFFLINE][0].replace("min_duration (ms): 600000", "min_duration (ms): 1000")
    folder, record = official(text=short)
    export_runs([(folder, record)], tmp_path / "out", Statement(division="closed"), preview=False)
    found = checks(tmp_path / "out", owner="closed/not-stated")
    assert set(found) == {
        "model",
        "seeds",
        "minimum duration",
        "minimum queries",
        "performance sample count",
        "accuracy log",
        "accuracy metric",
        "compliance tests",
        "availability",
        "submitter",
        "system description",
    }
    described = json.loads((tmp_path / "out" / "closed" / "not-stated" / "systems" / "node-1_card_fp32.json").read_text())
    assert described["status"] == NOT_STATED


def test_what_holds_is_not_named(tmp_path: Path, official: Any) -> None:
    whole = SAID[Scenario.OFFLINE][0].replace(
        "samples_per_query : 1", f"samples_per_query : 24576\n{SEEDED}performance_sample_count : 1024"
    )
    export_runs([official(text=whole)], tmp_path / "out", ACME, preview=False)
    assert set(checks(tmp_path / "out")) == {"model", "accuracy log", "accuracy metric", "system description"}


def test_a_latency_that_loadgen_could_not_certify_is_no_figure() -> None:
    assert headline(read_summary(summary("SingleStream", p90(5)).encode())) == (None, "Latency (ms)")


@pytest.mark.parametrize(("precision", "says"), [("fp32", "fp32"), ("int8", "int8"), ("vendor", NOT_MEASURED)])
def test_the_type_of_the_weights_is_stated_as_far_as_it_is_known(
    tmp_path: Path, official: Any, precision: str, says: str
) -> None:
    export_runs([official(spec={"precision": precision})], tmp_path / "out", ACME, preview=False)
    (path,) = (tmp_path / "out").rglob("measurements.json")
    described = json.loads(path.read_text())
    assert described["weight_data_types"].startswith(says)
    assert described["npubench_run"] == "run-a"


def test_an_export_is_read_with_its_run_named(tmp_path: Path, official: Any) -> None:
    export_runs([official()], tmp_path / "out", ACME, preview=False)
    (row,) = read_published(tmp_path / "out").rows
    assert (row.submitter, row.system, row.model, row.value) == ("ACME", "node-1_card_fp32", "tiny", 7245.87)
    assert "npubench exported it: run run-a is the record that was measured" in row.notes
