"""The regenerated server schedule is LoadGen's own, to the nanosecond."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from npubench.measure.schedule import server_schedule

#: A busy machine is no reason to fail.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

#: Runs LoadGen's server scenario once and leaves its trace and logs in the working folder.
LOADGEN = """
import sys
import mlperf_loadgen as lg

seed, rate, milliseconds, queries = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
settings = lg.TestSettings()
settings.scenario, settings.mode = lg.TestScenario.Server, lg.TestMode.PerformanceOnly
settings.server_target_qps, settings.server_target_latency_ns = rate, 10**9
settings.min_duration_ms, settings.min_query_count = milliseconds, queries
settings.schedule_rng_seed, settings.sample_index_rng_seed, settings.qsl_rng_seed = seed, 1, 2
issue = lambda queries: lg.QuerySamplesComplete([lg.QuerySampleResponse(q.id, 0, 0) for q in queries])
sut, qsl = lg.ConstructSUT(issue, lambda: None), lg.ConstructQSL(8, 8, lambda _: None, lambda _: None)
output, logs = lg.LogOutputSettings(), lg.LogSettings()
output.outdir, output.copy_summary_to_stdout = ".", False
logs.log_output, logs.enable_trace = output, True
lg.StartTestWithLogSettings(sut, qsl, settings, logs)
"""


@pytest.mark.parametrize(
    ("seed", "rate", "milliseconds", "queries"),
    [
        (16159082839903944936, 5000.0, 200, 10),  # MLPerf's own seed, beyond 32 bits; ends by time
        (42, 3000.0, 50, 400),  # ends by count
    ],
)
def test_the_schedule_is_loadgens(tmp_path: Path, seed: int, rate: float, milliseconds: int, queries: int) -> None:
    arguments = [str(seed), str(rate), str(milliseconds), str(queries)]
    subprocess.run([sys.executable, "-c", LOADGEN, *arguments], cwd=tmp_path, check=True, timeout=300)
    # A sample's trace event begins at its scheduled time, in µs with three decimals.
    trace = (tmp_path / "mlperf_log_trace.json").read_text()
    event = re.compile(r'"name":"Sample","cat":"default","ph":"b".*?"ts":(-?[0-9.]+),"args":\{"sample_seq":(\d+)')
    found = {int(number): round(float(at) * 1e3) for at, number in event.findall(trace)}
    scheduled = np.array([found[number] for number in sorted(found)])

    deltas = server_schedule(seed, rate, milliseconds * 1_000_000, queries)

    assert deltas.dtype == np.int64
    assert deltas.size == scheduled.size == _detail(tmp_path, "generated_query_count")
    np.testing.assert_array_equal(deltas, scheduled - scheduled[0])
    # LoadGen also says when the query after the last would have been due.
    assert server_schedule(seed, rate, 0, deltas.size + 1)[-1] == _detail(tmp_path, "generated_query_duration")


def _detail(folder: Path, key: str) -> int:
    lines = (folder / "mlperf_log_detail.txt").read_text().splitlines()
    entries = [json.loads(line.removeprefix(":::MLLOG ")) for line in lines if f'"{key}"' in line]
    return int(entries[0]["value"])


def test_numpys_generator_is_the_standards() -> None:
    """C++ [rand.predef]: the 10000th draw of a default-seeded std::mt19937 is 4123659995."""
    assert np.random.RandomState(5489).randint(0, 1 << 32, size=10_000, dtype=np.uint32)[-1] == 4123659995


def test_intervals_are_those_of_a_plain_loop() -> None:
    """Every interval, by libm's logarithm one at a time, in the order in which libstdc++ computes."""
    rate = 123.456
    words = np.random.RandomState(7).randint(0, 1 << 32, size=40_000, dtype=np.uint32).tolist()
    due = [0]
    for low, high in zip(words[::2], words[1::2], strict=True):
        due.append(due[-1] + int(-math.log(1.0 - (low + high * 2.0**32) / 2.0**64) / rate * 1e9))
    assert server_schedule(7, rate, 0, len(due)).tolist() == due


@UNHURRIED
@given(seed=st.integers(0, 2**64 - 1), rate=st.floats(1.0, 1e5), milliseconds=st.integers(0, 50), queries=st.integers(0, 300))
def test_it_ends_as_generatequeries_does(seed: int, rate: float, milliseconds: int, queries: int) -> None:
    duration = milliseconds * 1_000_000
    deltas = server_schedule(seed, rate, duration, queries)
    assert deltas.size >= queries
    if not deltas.size:
        assert duration == queries == 0
        return
    assert deltas[0] == 0
    assert (np.diff(deltas) >= 0).all()
    assert deltas[-1] >= duration
    if deltas.size > max(queries, 1):
        assert deltas[-2] < duration
    # The high 32 bits of the seed are not used, and a longer run begins as a shorter one.
    np.testing.assert_array_equal(server_schedule(seed & 0xFFFFFFFF, rate, 2 * duration, queries)[: deltas.size], deltas)


def test_blocks_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = server_schedule(3, 1000.0, 1_000_000_000, 0)
    monkeypatch.setattr("npubench.measure.schedule._BLOCK", 100)
    np.testing.assert_array_equal(server_schedule(3, 1000.0, 1_000_000_000, 0), whole)


@pytest.mark.parametrize("rate", [0.0, -1.0, math.inf, math.nan])
def test_a_rate_must_be_a_rate(rate: float) -> None:
    with pytest.raises(ValueError, match="rate_qps"):
        server_schedule(1, rate, 1, 1)


def test_nothing_is_negative() -> None:
    with pytest.raises(ValueError, match="negative"):
        server_schedule(1, 1.0, -1, 1)
