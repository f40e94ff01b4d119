"""``npubench export power`` on runs of every scenario: the log lies around LoadGen's window and integrates to the record."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from npubench.record.power_log import parse_log

from .scenes import Scenes, with_energy


def edge(detail: str, key: str) -> float:
    """Return LoadGen's stamp as MLPerf's checker reads it, s."""
    found = re.search(rf'"power_{key}", "value": "([^"]+)"', detail)
    assert found
    return datetime.strptime(found[1], "%m-%d-%Y %H:%M:%S.%f").replace(tzinfo=timezone.utc).timestamp()


@pytest.mark.parametrize("scenario", ["single-stream", "multi-stream", "server", "offline"])
def test_a_run_of_every_scenario_can_be_handed_on(scenes: Scenes, tmp_path: Path, scenario: str) -> None:
    record = with_energy(scenes, scenario)
    done = scenes.world("export", "power", record["run_id"], "--store", scenes.store, "--out", tmp_path, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["folder"] == str(tmp_path / "run_1")
    detail = (tmp_path / "run_1" / "mlperf_log_detail.txt").read_text()
    begin, end = edge(detail, "begin"), edge(detail, "end")
    times, watts = parse_log((tmp_path / "run_1" / "spl.txt").read_text())
    assert times[0] < begin < end < times[-1]
    # Each is the mean since the one before it, which may be long ago where a busy machine held the sampler up.
    since, shown = np.diff(times), watts[1:]
    inside = (times[:-1] > begin) & (times[1:] < end) & np.isfinite(shown)
    mean = float(np.average(shown[inside], weights=since[inside]))
    assert mean == pytest.approx(record["energy"][0]["watts"]["value"], rel=0.05)


def test_a_run_that_is_not_there_is_named_with_the_nearest(scenes: Scenes, tmp_path: Path) -> None:
    name = next(iter(scenes.records.values()))["run_id"]
    done = scenes.world("export", "power", name[:-1] + "x", "--store", scenes.store, "--out", tmp_path)
    assert done.code == 2
    assert f"there is no run '{name[:-1]}x'" in done.sentence
    assert not list(tmp_path.iterdir())
