"""What is served is OpenMetrics as Prometheus' own parser reads it, with what the sampler last read and nothing made up."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from npubench.contract.runspec import RunSpec
from npubench.measure.live import LiveFile, read_live
from npubench.measure.metrics_port import CONTENT_TYPE, MetricsPort, Progress, render

SECOND = 1_000_000_000
SENSORS: list[dict[str, Any]] = [
    {"name": "card power", "kind": "power", "domain": "card", "evidence": None},
    {"name": "card energy", "kind": "energy", "domain": "card", "evidence": None},
    {"name": 'wall "A"\\1', "kind": "power", "domain": "wall", "evidence": "wall meter"},
    {"name": "hot", "kind": "temperature", "domain": "chip", "evidence": None},
    {"name": "core", "kind": "clock", "domain": "chip", "evidence": None},
    {"name": "flag", "kind": "throttle", "domain": "chip", "evidence": None},
    {"name": "busy", "kind": "utilisation", "domain": "chip", "evidence": None},
    {"name": "card power", "kind": "power", "domain": "card", "evidence": None},
]
VALUES = [40_500, 1_234_567_890, 61_000, 71_500, 1_400_000_000, 1, 250_000, 40_500]


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveFile]:
    with LiveFile(tmp_path / "readings.npz", SENSORS) as file:
        for n, value in enumerate(VALUES):
            file.show(n, SECOND, value, 1)
        yield file


@pytest.fixture
def progress(tmp_path: Path, make_spec: Callable[..., RunSpec]) -> Progress:
    made = Progress("night", 3)
    made.begin(make_spec(), tmp_path)
    made.enter("measure")
    return made


def parsed(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Return metric → its samples, as Prometheus understands them."""
    return {f.name: [(s.labels, s.value) for s in f.samples] for f in text_string_to_metric_families(text)}


def test_readings_are_in_base_units_with_what_they_are_of(live: LiveFile, progress: Progress) -> None:
    found = parsed(render(progress, 3 * SECOND))
    card, wall = found["npubench_power_watts"]
    assert card == (
        {
            "suite": "night",
            "target": "card",
            "workload": "tiny",
            "precision": "fp32",
            "scenario": "single-stream",
            "phase": "measure",
            "sensor": "card power",
            "domain": "card",
            "evidence": "device",
        },
        40.5,
    )
    assert (wall[0]["sensor"], wall[0]["evidence"], wall[1]) == ('wall "A"\\1', "wall meter", 61.0)
    assert found["npubench_energy_joules"][0][1] == 1234.56789
    assert found["npubench_temperature_celsius"][0][1] == 71.5
    assert found["npubench_clock_hertz"][0][1] == 1.4e9
    assert found["npubench_throttled"][0][1] == 1
    assert found["npubench_utilisation_ratio"][0][1] == 0.25
    # A sensor that every die of a card repeats is one.
    assert [value for _, value in found["npubench_reading_age_seconds"]] == [2.0] * 7


def test_no_value_is_no_sample_and_never_zero(live: LiveFile, progress: Progress) -> None:
    live.show(0, 2 * SECOND, 0, 0)
    live.show(7, 2 * SECOND, 0, 0)
    found = parsed(render(progress, 3 * SECOND))
    assert [labels["sensor"] for labels, _ in found["npubench_power_watts"]] == ['wall "A"\\1']
    assert (found["npubench_reading_age_seconds"][0][0]["sensor"], found["npubench_reading_age_seconds"][0][1]) == (
        "card power",
        1,
    )


def test_a_counter_below_zero_is_left_out(live: LiveFile, progress: Progress) -> None:
    live.show(1, 2 * SECOND, -5, 1)
    live.show(3, 2 * SECOND, -5_000, 1)
    found = parsed(render(progress, 3 * SECOND))
    assert "npubench_energy_joules" not in found
    assert found["npubench_temperature_celsius"][0][1] == -5.0


def test_runs_are_counted_by_status_and_the_run_in_progress_is_named(progress: Progress) -> None:
    running = parsed(render(progress, 0))
    assert running["npubench_run_in_progress"] == [(progress.labels(), 1.0)]
    assert running["npubench_runs_planned"] == [({"suite": "night"}, 3.0)]
    progress.end("invalid")
    over = parsed(render(progress, 0))
    assert over["npubench_run_in_progress"] == []
    counted = {labels["status"]: value for labels, value in over["npubench_runs_finished"]}
    assert counted == {"ok": 0, "invalid": 1, "failed": 0, "skipped": 0}
    assert "npubench_power_watts" not in over


def test_the_live_file_goes_with_the_sampler_and_garbage_in_its_place_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "readings.live"
    with LiveFile(tmp_path / "readings.npz", SENSORS[:1]) as file:
        assert read_live(path) == []
        file.show(0, 5, 7, 1)
        assert [(r.time_ns, r.value) for r in read_live(path)] == [(5, 7)]
    assert not path.exists()
    assert read_live(path) == []
    for garbage in (b"", b"\xff" * 8, b"\x02" + b"\0" * 7 + b"[]", b"\x04" + b"\0" * 7 + b"[{}]"):
        path.write_bytes(garbage)
        assert read_live(path) == []
    with LiveFile(tmp_path / "no" / "folder.npz", SENSORS[:1]) as nowhere:
        nowhere.show(0, 1, 1, 1)


def test_it_answers_over_http_on_the_loopback_and_only_what_is_asked_for(live: LiveFile, progress: Progress) -> None:
    with MetricsPort(progress, "127.0.0.1", 0) as port:
        assert port.url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(port.url, timeout=10) as answer:
            assert answer.headers["Content-Type"] == CONTENT_TYPE
            assert parsed(answer.read().decode())["npubench_power_watts"]
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(port.url.replace("/metrics", "/etc/passwd"), timeout=10)
        assert refused.value.code == 404
        refused.value.close()
        with pytest.raises(OSError, match="in use"):
            MetricsPort(progress, "127.0.0.1", int(port.url.split(":")[2].split("/")[0]))
        # What is no HTTP gets no answer that hurts, and the next one is served.
        client = http.client.HTTPConnection(port.url.split("/")[2], timeout=10)
        client.connect()
        client.sock.sendall(b"\x16\x03\x01 garbage\r\n\r\n")
        client.close()
        with urllib.request.urlopen(port.url, timeout=10) as answer:
            assert answer.status == 200
