"""Run LoadGen by itself, and read its own early-stopping estimates beside the latencies that it gives them for.

``python -m npubench.measure.early_stopping FOLDER`` runs the windows; :func:`read_estimates` reads what they left. A process of
its own, because LoadGen keeps its state for as long as one lives.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from npubench.measure.trace import Column

#: Windows of single-stream and of multi-stream, in queries: the floors of p90 and p99, and beyond.
SINGLE_STREAM = (64, 662, 1000, 5000, 20_000)
MULTI_STREAM = (662, 2000)

_ESTIMATE = re.compile(r"Early stopping ([\d.]+)th percentile estimate: (\d+)")
_SAMPLE = re.compile(r'"name":"Sample","cat":"default","ph":"b".*?"query_seq":(\d+).*?"complete_ns":(\d+)')


@dataclass(frozen=True, slots=True)
class Window:
    """What LoadGen left of one window.

    Args:
        name: ``single-stream 662``.
        latencies_ns: ``int64[queries]``, by LoadGen's own clock.
        estimates_ns: Percentile, between 0 and 1 → LoadGen's early-stopping estimate, ns.
    """

    name: str
    latencies_ns: Column
    estimates_ns: dict[float, float]


def read_estimates(folder: Path) -> Iterator[Window]:
    """Read the windows that a run of this module left in ``folder``.

    Raises:
        OSError: It left none.
    """
    for logs in sorted(folder.iterdir()):
        last: dict[int, int] = {}
        for query, complete in _SAMPLE.findall((logs / "mlperf_log_trace.json").read_text(encoding="utf-8")):
            # A query of several samples is done when its last one is.
            last[int(query)] = max(last.get(int(query), 0), int(complete))
        summary = (logs / "mlperf_log_summary.txt").read_text(encoding="utf-8")
        estimates = {float(name) / 100.0: float(value) for name, value in _ESTIMATE.findall(summary)}
        yield Window(logs.name.replace("_", " "), np.array(list(last.values()), dtype=np.int64), estimates)


def run_windows(folder: Path) -> None:
    """Run every window on a device that answers at once, with LoadGen's trace on."""
    import mlperf_loadgen as lg

    def answer(queries: list[lg.QuerySample]) -> None:
        lg.QuerySamplesComplete([lg.QuerySampleResponse(query.id, 0, 0) for query in queries])

    scenarios = [(lg.TestScenario.SingleStream, "single-stream", n) for n in SINGLE_STREAM]
    scenarios += [(lg.TestScenario.MultiStream, "multi-stream", n) for n in MULTI_STREAM]
    for scenario, name, queries in scenarios:
        logs = folder / f"{name}_{queries}"
        logs.mkdir()
        settings = lg.TestSettings()
        settings.scenario, settings.mode = scenario, lg.TestMode.PerformanceOnly
        settings.single_stream_expected_latency_ns = settings.multi_stream_expected_latency_ns = 1000
        settings.min_duration_ms, settings.min_query_count, settings.max_query_count = 0, queries, queries
        settings.schedule_rng_seed, settings.sample_index_rng_seed, settings.qsl_rng_seed = 1, 1, 2
        sut = lg.ConstructSUT(answer, lambda: None)
        library = lg.ConstructQSL(8, 8, lambda _: None, lambda _: None)
        output, log = lg.LogOutputSettings(), lg.LogSettings()
        output.outdir, output.copy_summary_to_stdout = str(logs), False
        log.log_output, log.enable_trace = output, True
        lg.StartTestWithLogSettings(sut, library, settings, log)
        lg.DestroySUT(sut)
        lg.DestroyQSL(library)


if __name__ == "__main__":
    run_windows(Path(sys.argv[1]))
