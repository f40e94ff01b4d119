"""Calibrations stand beside the runs: the latest that can be read counts, and none is ever a record."""

from __future__ import annotations

import json
from pathlib import Path

from npubench.contract.bundle import content_digest
from npubench.record.calibration import calibration_digest, write_calibration
from npubench.record.store import Store


def put(store: Path, stamp: str, text: str) -> None:
    folder = store / "node-1" / "calibration"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stamp}.json").write_text(text)


def test_no_calibration_has_no_digest(tmp_path: Path) -> None:
    assert calibration_digest(tmp_path, "node-1") is None


def test_what_is_written_is_found_by_its_digest(tmp_path: Path) -> None:
    content = {"floor": {"offline": 1.0}}
    path = write_calibration(tmp_path, "node-1", content)
    assert calibration_digest(tmp_path, "node-1") == content_digest(content)
    assert calibration_digest(tmp_path, "node-2") is None
    assert json.loads(path.read_text())["floor"] == {"offline": 1.0}
    assert [file.suffix for file in path.parent.iterdir()] == [".json"]


def test_the_latest_counts(tmp_path: Path) -> None:
    put(tmp_path, "20260801T000000Z", '{"digest": "old"}')
    put(tmp_path, "20260901T000000Z", '{"digest": "new"}')
    assert calibration_digest(tmp_path, "node-1") == "new"


def test_one_that_cannot_be_read_gives_way_to_the_one_before(tmp_path: Path) -> None:
    put(tmp_path, "20260801T000000Z", '{"digest": "old"}')
    for n, text in enumerate(("", "{", "{}", "[]", "3", '{"digest": null}')):
        put(tmp_path, f"20260901T00000{n}Z", text)
    assert calibration_digest(tmp_path, "node-1") == "old"


def test_a_calibration_is_no_run(tmp_path: Path) -> None:
    write_calibration(tmp_path, "node-1", {})
    assert Store(tmp_path).read() == ([], [])
