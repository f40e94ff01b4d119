"""Published figures are read as published; the log counts, not the folder; nothing a stranger writes does harm."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npubench.errors import StoreError
from npubench.record.mlperf.loadgen_log import read_summary
from npubench.record.mlperf.published import Found, read_published
from npubench.record.mlperf.reference import PUBLISHED, Reference
from npubench.record.mlperf.references import keep_references
from npubench.report.references import read_references

from .published import SYSTEM, detail, offline, p90, summary, write

#: round, submitter, system, model, folder → the summary's headline, and what is read: scenario, figure, unit.
#: mlcommons/inference_results_v1.1 … v3.0, the logs of the closed division.
GOLDEN = [
    ("1.1", "FuriosaAI", "warboy_intel", "resnet50", "Offline", offline("2634.18"), "Offline", 2634.18, "samples/s"),
    ("2.0", "FuriosaAI", "warboy", "resnet50", "Offline", offline("2758.44"), "Offline", 2758.44, "samples/s"),
    ("2.0", "FuriosaAI", "warboy", "resnet50", "SingleStream", p90(712196), "SingleStream", 712_196, "ns"),
    ("2.0", "FuriosaAI", "warboy", "ssd-mobilenet", "Offline", offline("8762.15"), "Offline", 8762.15, "samples/s"),
    ("2.0", "FuriosaAI", "warboy", "ssd-resnet34", "Offline", offline("79.9162"), "Offline", 79.9162, "samples/s"),
    ("2.1", "SAPEON", "X220-compact", "resnet50", "Offline", offline("6769.07"), "Offline", 6769.07, "samples/s"),
    ("2.1", "SAPEON", "X220-enterprise", "resnet50", "Offline", offline("13100.9"), "Offline", 13100.9, "samples/s"),
    (
        "2.1", "SAPEON", "X220-enterprise", "resnet50", "Server",
        "Scheduled samples per second : 12036.35", "Server", 12036.35, "samples/s",
    ),
    ("3.0", "rebellions", "ATOM", "resnet50", "Offline", offline("7245.87"), "Offline", 7245.87, "samples/s"),
    ("3.0", "rebellions", "ATOM", "resnet50", "SingleStream", p90(238829), "SingleStream", 238_829, "ns"),
    ("3.0", "rebellions", "ATOM", "bert-99", "Offline", p90(4297295), "SingleStream", 4_297_295, "ns"),
    ("3.0", "NVIDIA", "L4x1_TRT", "resnet50", "Offline", offline("13157.8"), "Offline", 13157.8, "samples/s"),
    ("3.0", "NVIDIA", "L4x1_TRT", "resnet50", "SingleStream", p90(361584), "SingleStream", 361_584, "ns"),
    ("3.0", "NVIDIA", "L4x1_TRT", "bert-99", "SingleStream", p90(2528070), "SingleStream", 2_528_070, "ns"),
    ("3.0", "NVIDIA", "A100-PCIe-80GBx1_TRT", "resnet50", "Offline", offline("39152.4"), "Offline", 39152.4, "samples/s"),
    ("3.0", "NVIDIA", "H100-PCIe-80GBx1_TRT", "resnet50", "Offline", offline("56635"), "Offline", 56635.0, "samples/s"),
]  # fmt: skip


def one(root: Path) -> Reference:
    found = read_published(root)
    assert not found.refused
    (row,) = found.rows
    return row


def refused(root: Path) -> str:
    found = read_published(root)
    assert not found.rows
    (wrong,) = found.refused
    return wrong.reason


def test_the_published_figures_are_read_as_published(tmp_path: Path) -> None:
    for round_, submitter, system, model, folder, figure, scenario, _, _ in GOLDEN:
        write(tmp_path, summary(scenario, figure), round_=round_, submitter=submitter, system=system, model=model, folder=folder)
    found = read_published(tmp_path)
    assert not found.refused
    read = {(r.round, r.submitter, r.system, r.model, r.folder_scenario, r.scenario, r.value, r.unit) for r in found.rows}
    assert read == {(*row[:5], *row[6:]) for row in GOLDEN}
    assert all(row.valid and row.evidence == PUBLISHED for row in found.rows)


def test_the_scenario_is_what_the_log_says_and_the_row_says_where_it_lay(tmp_path: Path) -> None:
    write(tmp_path, summary("SingleStream", p90(4297295)), model="bert-99", folder="Offline")
    row = one(tmp_path)
    assert (row.scenario, row.folder_scenario, row.unit) == ("SingleStream", "Offline", "ns")
    assert row.notes == ("it lies under Offline, and its own log says SingleStream: it is a figure of SingleStream",)


def test_everything_beside_the_figure_is_taken_from_the_files_that_say_it(tmp_path: Path) -> None:
    further = {
        "99.00 percentile latency (ns)": "4319079",
        "99.90 percentile latency (ns)": "4359913",
        "Mean latency (ns)": "4291040",
    }
    estimates = " * Early stopping 90th percentile estimate: 4297444\n * Early stopping 99th percentile estimate: 4319777"
    write(
        tmp_path,
        summary("SingleStream", p90(4297295), further=further, estimates=estimates),
        model="bert-99",
        folder="SingleStream",
        accuracy='{"exact_match": 82.41248817407758, "f1": 90.01012604348361}\nReading examples...\n',
        details=detail("SingleStream"),
    )
    row = one(tmp_path)
    assert row.latencies_ns == {"p99": 4_319_079, "p99.9": 4_359_913, "mean": 4_291_040}
    assert row.early_stopping_ns == {"p90": 4_297_444, "p99": 4_319_777}
    assert {name: (score.value, score.unit) for name, score in row.accuracy.items()} == {
        "exact_match": (82.41248817407758, ""),
        "f1": (90.01012604348361, ""),
    }
    assert (row.accelerator, row.accelerators, row.host["host_processor_model_name"]) == ("RBLN ATOM", 1, "A CPU")
    assert row.weights == {"weight_data_types": "int8", "retraining": "N"}
    assert row.notes == ()
    assert {Path(name).name for name in row.files} == {
        "mlperf_log_summary.txt",
        "ATOM.json",
        "ATOM_SingleStream.json",
        "accuracy.txt",
    }
    assert all(digest.startswith("sha256:") for digest in row.files.values())


def test_a_part_of_a_round_says_the_same_as_the_whole(tmp_path: Path) -> None:
    path = write(tmp_path, summary("Offline", offline("7245.87")))
    whole = one(tmp_path)
    assert one(path.parent) == whole
    assert one(path.parents[4]) == whole


def test_a_newer_layout_has_its_description_beside_the_logs_and_its_tests_below(tmp_path: Path) -> None:
    path = write(tmp_path, summary("Offline", offline("10.5")), round_="6.0")
    scenario = path.parents[2]
    (scenario / "measurements.json").write_text('{"weight_data_types": "fp8"}')
    copy = scenario / "TEST01" / "performance" / "run_1"
    copy.mkdir(parents=True)
    (copy / path.name).write_text(summary("Offline", offline("11.5")))
    row = one(tmp_path)
    assert (row.round, row.weights["weight_data_types"], row.value) == ("6.0", "fp8", 10.5)


@pytest.mark.parametrize(
    ("figure", "value", "unit"),
    [
        ("Completed samples per second    : 102.48", 102.48, "samples/s"),
        ("Completed samples per second    : 39.25\nCompleted tokens per second: 10755.59", 10755.59, "tokens/s"),
    ],
)
def test_what_a_server_completed_is_its_figure_where_the_log_says_so(
    tmp_path: Path, figure: str, value: float, unit: str
) -> None:
    write(tmp_path, summary("Server", figure), folder="Server")
    assert (one(tmp_path).value, one(tmp_path).unit) == (value, unit)


def test_an_invalid_run_is_read_and_said_to_be_so(tmp_path: Path) -> None:
    write(tmp_path, summary("Offline", offline("1.5"), valid="INVALID"))
    assert not one(tmp_path).valid
    assert "LoadGen calls it INVALID" in one(tmp_path).notes


def test_a_detail_log_that_says_otherwise_is_a_note(tmp_path: Path) -> None:
    write(tmp_path, summary("Offline", offline("1.5")), details=detail("Server", "INVALID"))
    assert one(tmp_path).notes == (
        "the detail log says scenario 'Server', the summary Offline",
        "the detail log says 'INVALID', the summary VALID",
    )


def test_a_figure_beside_the_headline_that_cannot_be_is_left_out_and_said(tmp_path: Path) -> None:
    write(tmp_path, summary("Offline", offline("1.5"), further={"Min latency (ns)": "-2696847", "Mean latency (ns)": "5"}))
    row = one(tmp_path)
    assert row.latencies_ns == {"mean": 5}
    assert row.notes == ("what its log says of Min latency (ns) is no number above 0: left out",)


@pytest.mark.parametrize("text", ["nan", "inf", "1e999", "-5", "0", "1_000", "٣", "5 GB", "9" * 50])
def test_a_headline_that_is_no_number_above_0_is_refused(tmp_path: Path, text: str) -> None:
    write(tmp_path, summary("Offline", offline(text)))
    assert "which is no number above 0" in refused(tmp_path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the heading 'MLPerf Results Summary' is missing"),
        (summary("Offline", offline("1.5")).encode("utf-16"), "is no UTF-8 text"),
        (b"\xff\xfe\x00", "is no UTF-8 text"),
        (b"A" * (1 << 20) + b"B", "is larger than"),
        (summary("Sideways", offline("1.5")).encode(), "says Scenario 'Sideways'"),
        (summary("Offline", offline("1.5"), valid="FINE").encode(), "neither VALID nor INVALID"),
        (summary("Offline", "Nothing : here").encode(), "has no figure for Offline"),
        (summary("Offline", offline("1.5") + "\nScenario : Server").encode(), "says 'Scenario' twice"),
        (summary("Offline", offline("1.5")).encode() * 2, "twice"),
        (b"NOT A SUBMISSION: a preview\n" + summary("Offline", offline("1.5")).encode(), "a preview that npubench exported"),
        (summary("Offline", offline("1.5")).replace("PerformanceOnly", "AccuracyOnly").encode(), "measures nothing"),
    ],
)  # fmt: skip
def test_what_is_no_summary_is_refused_in_a_sentence(tmp_path: Path, content: bytes, why: str) -> None:
    write(tmp_path, content)
    assert why in refused(tmp_path)


def test_one_that_is_refused_hides_no_other(tmp_path: Path) -> None:
    write(tmp_path, b"rubbish", system="A")
    write(tmp_path, summary("Offline", offline("1.5")), system="B")
    found = read_published(tmp_path)
    assert ([row.system for row in found.rows], len(found.refused)) == (["B"], 1)


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.json").write_text(json.dumps(SYSTEM))
    path = write(tmp_path / "in", summary("Offline", offline("1.5")))
    described = path.parents[6] / "systems" / "ATOM.json"
    described.unlink()
    described.symlink_to(outside / "secret.json")
    row = one(tmp_path / "in")
    assert (row.host, row.accelerators) == ({}, None)
    assert "the system description is a link, which is not followed" in row.notes
    (outside / path.name).write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(outside / path.name)
    assert refused(tmp_path / "in") == "is a link, which is not followed"
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in", target_is_directory=True)
    assert len(read_published(tmp_path / "in").refused) == 1


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[1]",
        '{"accelerators_per_node": NaN}',
        '{"system_name": "a", "system_name": "b"}',
        "[" * 100_000,
        "x" * ((1 << 20) + 1),
    ],
)
def test_a_description_that_cannot_be_read_is_a_note_and_no_zero(tmp_path: Path, content: str) -> None:
    path = write(tmp_path, summary("Offline", offline("1.5")))
    (path.parents[6] / "systems" / "ATOM.json").write_text(content)
    row = one(tmp_path)
    assert (row.host, row.accelerators) == ({}, None)
    assert any(note.startswith("the system description") for note in row.notes)


@pytest.mark.parametrize(
    ("per_node", "nodes", "count"), [("8", 2, 16), (4, "1", 4), ("8 + 2", "1", None), ("", "1", None), (-1, 1, None)]
)
def test_accelerators_are_counted_where_both_counts_are_stated(
    tmp_path: Path, per_node: object, nodes: object, count: int | None
) -> None:
    write(tmp_path, summary("Offline", offline("1.5")), described={"accelerators_per_node": per_node, "number_of_nodes": nodes})
    assert one(tmp_path).accelerators == count


def test_text_that_steers_a_terminal_is_not_kept(tmp_path: Path) -> None:
    write(tmp_path, summary("Offline", offline("1.5")), described={**SYSTEM, "accelerator_model_name": "A\x1b[2J\u202eB"})
    assert one(tmp_path).accelerator == "A?[2J?B"


def test_a_pipe_that_is_named_like_a_log_does_not_hang_it(tmp_path: Path) -> None:
    path = write(tmp_path, summary("Offline", offline("1.5")))
    path.unlink()
    os.mkfifo(path)
    assert refused(tmp_path) == "is no plain file"


@given(st.binary(max_size=300))
def test_whatever_stands_in_a_summary_it_is_read_or_refused(data: bytes) -> None:
    whole = summary("Offline", offline("7.5")).encode()
    for content in (data, whole[:150] + data + whole[150:]):
        try:
            account = read_summary(content)
        except ValueError:
            continue
        assert account.value > 0


# -- the store --------------------------------------------------------------------------------------------------------


def rows(root: Path) -> Found:
    write(root, summary("Offline", offline("7245.87")))
    write(root, summary("SingleStream", p90(238829)), folder="SingleStream")
    return read_published(root)


def test_rows_are_kept_once_and_read_again_in_order(tmp_path: Path) -> None:
    found = rows(tmp_path / "in")
    store = tmp_path / "store"
    assert keep_references(store, found.rows) == (2, 0)
    assert keep_references(store, reversed(found.rows)) == (0, 2)
    kept = read_references(store)
    assert list(kept.rows) == found.rows
    assert not kept.unreadable
    assert sorted(path.name for path in store.rglob("*")) == sorted(["references", *(f"{row.key}.json" for row in found.rows)])


def test_a_row_that_was_changed_in_the_store_is_not_shown(tmp_path: Path) -> None:
    store = tmp_path / "store"
    keep_references(store, rows(tmp_path / "in").rows)
    (path, other) = sorted((store / "references").iterdir())
    path.write_text(path.read_text().replace('"valid":true', '"valid":false'))
    kept = read_references(store)
    assert [row.key for row in kept.rows] == [other.stem]
    assert "was changed since it was imported" in kept.unreadable[path.name]


def test_a_row_that_claims_to_be_measured_is_not_read(tmp_path: Path) -> None:
    store = tmp_path / "store"
    row = replace(rows(tmp_path / "in").rows[0], evidence="measured")
    keep_references(store, [row])
    assert read_references(store).rows == ()


def test_a_store_without_references_has_none(tmp_path: Path) -> None:
    assert read_references(tmp_path / "nowhere").rows == ()


def test_a_store_that_cannot_be_written_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(StoreError, match="cannot be written"):
        keep_references(tmp_path / "store", [])
