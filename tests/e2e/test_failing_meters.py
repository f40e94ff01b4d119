"""A meter that fails in the middle of a run costs the energy figure and says why; latency and throughput stand.

The sensors are a plug-in's, read by the real sampler's process; what a vendor's SDK would do instead is not shown.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from .failing_meters import write_metered
from .world import World, came_through, one_by_target

#: Device → what the record says in the energy's place; the fault falls into the window or some time before it.
REASONS = {
    "gone": r"readings cover \d+\.\d% of the window, needs 95%|the sensor gave no value in the window",
    "garbage": r"cannot be right|readings cover|gave no value|does not move|was reset",
    "unit": r"a card at [\d,]+ W cannot be right: the sensor's unit is another one than it says",
    "stalls": r"does not move|has stalled|stood still|readings cover",
    "back": r"cannot be right|was reset|does not move|readings cover",
    "hangs": r"readings cover|gave no value|does not move",
    "silent": r"the sensor gave no value in the window",
}
#: The sensors are good for the first half second of it.
WINDOW_S = 1.5
#: Devices whose sensors take their sampler along: no reading is left of it.
LOST = ("raises", "dies")


@pytest.fixture(scope="module")
def metered(new_world: Callable[[str], World], acme: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One suite with a target of every such device, its live metrics looked at meanwhile."""
    world = new_world("metered")
    site = write_metered(tmp_path_factory.mktemp("metered-site"))
    names = ["good", *REASONS, *LOST]
    targets = {name: {"backend": "metered", "device": f"npu:{name}"} for name in names}
    suite = world.suite(targets, [{"targets": names, "workloads": ["acme-sum"], "duration_s": WINDOW_S}])
    started = world.start("run", suite.name, "--store", "store", "--metrics-port", "0", env={"PYTHONPATH": f"{site}:{acme}"})
    pages = []
    try:
        while started.process.poll() is None:
            told = re.search(r"live metrics on (\S+)\n", (world.folder / "1.err").read_text(encoding="utf-8"))
            # Between the last run and its end the command serves no more.
            with contextlib.suppress(OSError, http.client.HTTPException):
                if told:
                    with urllib.request.urlopen(told[1], timeout=10) as answer:
                        pages.append(answer.read().decode())
            time.sleep(0.1)
    finally:
        started.kill()
    seen = [{family.name: family.samples for family in text_string_to_metric_families(page)} for page in pages]
    return started.wait(), one_by_target(world.store()), seen


def test_every_run_is_kept_and_measured(metered: Any) -> None:
    result, records, _ = metered
    assert result.code == int(any(record["status"] != "ok" for record in records.values())), result.err
    assert set(records) == {"good", *REASONS, *LOST}
    for record in records.values():
        assert came_through(record), record["reason"]
        assert record["metrics"]["latency_p90"]["value"] > 1e6


def test_good_meters_have_energy(metered: Any) -> None:
    _, records, _ = metered
    counter, gauge = records["good"]["energy"]
    assert (counter["evidence"], gauge["evidence"]) == ("device energy counter", "device power gauge")
    assert counter["watts"]["value"] == pytest.approx(40.0, rel=0.02)
    # A gauge's power is not known while a busy machine keeps the sampler from reading it; a counter counts on.
    held_up = re.match(r"readings cover \d+\.\d% of the window", gauge["watts"]["reason"] or "")
    assert held_up or gauge["watts"]["value"] == pytest.approx(40.1, rel=0.02)
    assert "power-missing" not in {finding["rule"] for finding in records["good"]["findings"]}


@pytest.mark.parametrize("fault", REASONS)
def test_a_meter_that_fails_costs_the_energy_and_says_why(metered: Any, fault: str) -> None:
    _, records, _ = metered
    record = records[fault]
    assert len(record["energy"]) == 2
    for energy in record["energy"]:
        for figure in ("joules", "watts", "peak_watts", "joules_per_sample", "samples_per_joule", "above_idle_joules"):
            assert energy[figure]["value"] is None, (fault, energy["sensor"], energy[figure])
        assert re.search(REASONS[fault], energy["joules"]["reason"]), energy["joules"]["reason"]
    assert {"power-missing", "power-implausible"} & {finding["rule"] for finding in record["findings"]}


@pytest.mark.parametrize("fault", LOST)
def test_a_sensor_that_takes_its_sampler_along_costs_no_run(metered: Any, fault: str) -> None:
    _, records, _ = metered
    assert records[fault]["energy"] == []
    (finding,) = [finding for finding in records[fault]["findings"] if finding["rule"] == "power-missing"]
    assert finding["severity"] == "note"
    assert finding["observed"] == "no energy counter, power gauge or meter was read"


def test_live_metrics_told_of_it_while_it_ran(metered: Any) -> None:
    _, _, seen = metered
    watts = [sample for page in seen for sample in page.get("npubench_power_watts", ())]
    good = [sample for sample in watts if sample.labels["target"] == "good"]
    assert good
    assert all(39.9 < sample.value < 40.3 for sample in good)
    assert "measure" in {sample.labels["phase"] for sample in watts}
    assert "silent" not in {sample.labels["target"] for sample in watts}
    finished = [sum(s.value for s in page["npubench_runs_finished"]) for page in seen]
    assert finished == sorted(finished)
    # The last run is shown as finished for a moment only.
    assert finished[-1] >= len(REASONS) + len(LOST)


def test_a_port_in_use_is_said_before_anything_is_measured(world: World) -> None:
    suite = world.suite(
        {"plain": {"backend": "simulated", "device": "sim:plain"}}, [{"targets": ["plain"], "workloads": ["probe"]}]
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = world("run", suite.name, "--metrics-port", port)
    assert result.code == 2
    assert f"--metrics-port {port}: cannot listen on 127.0.0.1: " in result.sentence
    assert not list((world.folder / "npubench-store").glob("*/*/record.json"))
