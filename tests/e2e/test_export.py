"""``npubench export power`` on runs of every scenario: the log lies around LoadGen's window and integrates to the record."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from npubench.record.power_log import parse_log

from .scenes import Scenes


def edge(detail: str, key: str) -> float:
    """Return LoadGen's stamp as MLPerf's checker reads it, s."""
    found = re.search(rf'"power_{key}", "value": "([^"]+)"', detail)
    assert found
    return datetime.strptime(found[1], "%m-%d-%Y %H:%M:%S.%f").replace(tzinfo=timezone.utc).timestamp()


@pytest.mark.parametrize("scenario", ["single-stream", "multi-stream", "server", "offline"])
def test_a_run_of_every_scenario_can_be_handed_on(scenes: Scenes, tmp_path: Path, scenario: str) -> None:
    record = next(r for name, r in sorted(scenes.records.items()) if name.endswith(scenario) and r["energy"][0]["watts"]["value"])
    done = scenes.world("export", "power", record["run_id"], "--store", scenes.store, "--out", tmp_path, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["folder"] == str(tmp_path / "run_1")
    detail = (tmp_path / "run_1" / "mlperf_log_detail.txt").read_text()
    begin, end = edge(detail, "begin"), edge(detail, "end")
    times, watts = parse_log((tmp_path / "run_1" / "spl.txt").read_text())
    assert times[0] < begin < end < times[-1]
    inside = (times > begin) & (times < end)
    # Evenly read, so that the checker's plain mean is near the integral's.
    assert float(np.nanmean(watts[inside])) == pytest.approx(record["energy"][0]["watts"]["value"], rel=0.05)


def test_a_run_that_is_not_there_is_named_with_the_nearest(scenes: Scenes, tmp_path: Path) -> None:
    name = next(iter(scenes.records.values()))["run_id"]
    done = scenes.world("export", "power", name[:-1] + "x", "--store", scenes.store, "--out", tmp_path)
    assert done.code == 2
    assert f"there is no run '{name[:-1]}x'" in done.sentence
    assert not list(tmp_path.iterdir())
