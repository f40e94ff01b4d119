"""Published folders as MLPerf lays them out, written for tests: LoadGen's form, the figures that were published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

BAR = "=" * 48


def summary(scenario: str, figure: str, valid: str = "VALID", further: Mapping[str, str] = {}, estimates: str = "") -> str:
    """Return a summary in LoadGen's form; ``figure`` is the headline's whole line."""
    lines = [
        BAR,
        "MLPerf Results Summary",
        BAR,
        "SUT name : A-SUT",
        f"Scenario : {scenario}",
        "Mode     : PerformanceOnly",
        figure,
    ]
    lines += [f"Result is : {valid}", "  Min duration satisfied : Yes", *estimates.splitlines(), "", BAR, "Additional Stats", BAR]
    lines += [f"{key:<32}: {value}" for key, value in further.items()]
    lines += ["", BAR, "Test Parameters Used", BAR, "samples_per_query : 1", "target_qps : 1000", "min_duration (ms): 600000"]
    lines += ["", "No warnings encountered during test.", "", "No errors encountered during test."]
    return "\n".join(lines) + "\n"


def p90(ns: int) -> str:
    return f"90th percentile latency (ns) : {ns}"


def offline(rate: str) -> str:
    return f"Samples per second: {rate}"


def detail(scenario: str, verdict: str = "VALID") -> str:
    rows = {"loadgen_version": "3.0", "effective_scenario": scenario, "result_validity": verdict}
    return "".join(
        f':::MLLOG {{"key": "{key}", "value": "{value}", "metadata": {{"is_error": false}}}}\n' for key, value in rows.items()
    )


SYSTEM = {
    "submitter": "ACME",
    "system_name": "A box",
    "number_of_nodes": "1",
    "accelerators_per_node": "1",
    "accelerator_model_name": "RBLN ATOM",
    "host_processor_model_name": "A CPU",
}


def write(
    root: Path,
    text: str | bytes,
    *,
    round_: str = "3.0",
    submitter: str = "rebellions",
    system: str = "ATOM",
    model: str = "resnet50",
    folder: str = "Offline",
    division: str = "closed",
    accuracy: str = "accuracy=75.986%, good=37993, total=50000\n",
    described: Mapping[str, object] = SYSTEM,
    details: str = "",
) -> Path:
    """Write one published row and return its summary's path."""
    owner = root / f"inference_results_v{round_}" / division / submitter
    place = owner / "results" / system / model / folder
    performance, measurements = place / "performance" / "run_1", owner / "measurements" / system / model / folder
    for path in (performance, place / "accuracy", owner / "systems", measurements):
        path.mkdir(parents=True, exist_ok=True)
    (performance / "mlperf_log_summary.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    if details:
        (performance / "mlperf_log_detail.txt").write_text(details)
    (place / "accuracy" / "accuracy.txt").write_text(accuracy)
    (owner / "systems" / f"{system}.json").write_text(json.dumps(described))
    (measurements / f"{system}_{folder}.json").write_text(json.dumps({"weight_data_types": "int8", "retraining": "N"}))
    return performance / "mlperf_log_summary.txt"
