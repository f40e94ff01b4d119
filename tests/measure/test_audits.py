"""What audits observe: pairs of windows, batches, the process, files that are opened, outputs that change."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from npubench.measure.audits import PROBES_CLOSED, PROBES_LIVE, NotCarriedOut, session
from npubench.measure.audits.batch_work import sizes
from npubench.measure.audits.guard import snapshot
from npubench.measure.audits.kernel_clock import clock_off_ns, monotonic_ns
from npubench.measure.audits.opened import OpenedFiles
from npubench.measure.audits.pairs import FEWEST_PAIRS, MOST_PAIRS, in_pairs
from npubench.measure.dispatch import Sink
from npubench.measure.samples import SampleSet
from npubench.measure.trace import Columns

GUARDED = """
import json, sys, time
from pathlib import Path
from types import SimpleNamespace

from npubench.measure import dispatch, loadgen
from npubench.measure.audits import Guard

root = Path(sys.argv[1])
guard = Guard()
guard.watch(SimpleNamespace(root=root, files=["labels.npz", "fp32/reference.npz", "fp32/model.onnx", "inputs/0.npy"]))
with guard.own():
    (root / "inputs/0.npy").read_bytes()
(root / "fp32/model.onnx").read_bytes()
guard.begin()
exec(sys.argv[2])
guard.end()
print(json.dumps(guard.observations()))
"""


def trace_of(service_ns: float) -> Any:
    return SimpleNamespace(done_ns=np.array([service_ns, service_ns]), started_ns=np.zeros(2))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    for name in ("labels.npz", "fp32/reference.npz", "fp32/model.onnx", "inputs/0.npy"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def observe(bundle: Path, cheat: str) -> dict[str, Any]:
    """Return what a guard in a process of its own sees of a cheat."""
    done = subprocess.run([sys.executable, "-c", GUARDED, bundle, cheat], capture_output=True, text=True, check=True)
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def test_a_process_that_is_left_alone_has_nothing_to_tell(bundle: Path) -> None:
    seen = observe(bundle, "")
    assert (seen["changed"], seen["opened"]) == ([], [])
    assert seen["looked_at"] > 500
    assert seen["kernel_end_ns"] >= seen["kernel_start_ns"]
    assert seen["clock_off_ns"] in (0, None)


REPLACED = {
    "time.monotonic_ns": "time.monotonic_ns = lambda: 0",
    "npubench.measure.dispatch._now": "dispatch._now = lambda: time.perf_counter_ns() // 2",
    "mlperf_loadgen.QuerySamplesComplete": "import mlperf_loadgen; mlperf_loadgen.QuerySamplesComplete = print",
    "npubench.measure.loadgen.choose_rows()": "loadgen.choose_rows.__code__ = (lambda *a: frozenset()).__code__",
    "npubench.measure.dispatch.Desk.look": "dispatch.Desk.look = lambda *a: None",
    "npubench.measure.dispatch.Sink.unsettled()": "dispatch.Sink.unsettled.__code__ = (lambda self: 0).__code__",
    "npubench.measure.loadgen._LONGEST_BACKLOG": "loadgen._LONGEST_BACKLOG = 9",
}


def test_what_is_replaced_is_named(bundle: Path) -> None:
    assert set(REPLACED) <= set(observe(bundle, "\n".join(REPLACED.values()))["changed"])


def test_a_function_put_back_before_the_end_was_still_seen(bundle: Path) -> None:
    cheat = "kept = time.sleep; time.sleep = print; guard.look(); time.sleep = kept"
    assert observe(bundle, cheat)["changed"] == ["time.sleep"]


def test_a_clock_that_lies_is_off(bundle: Path) -> None:
    off = observe(bundle, "now = dispatch._now; dispatch._now = lambda: now() - 5_000_000")["clock_off_ns"]
    assert off is None or off > 4_000_000


def test_files_opened_by_python_code_are_named(bundle: Path) -> None:
    cheat = "open(root / 'inputs/0.npy').close(); import os; os.chdir(root); os.close(os.open('labels.npz', 0))"
    assert sorted(observe(bundle, cheat)["opened"]) == ["inputs/0.npy", "labels.npz"]


def test_files_opened_past_python_are_named_where_the_kernel_tells(bundle: Path) -> None:
    seen = observe(bundle, "import ctypes; ctypes.CDLL(None).open(bytes(root / 'fp32/reference.npz'), 0)")
    assert seen["opened"] == (["fp32/reference.npz"] if seen["opens_watched"] == "kernel" else [])


def test_what_another_process_opens_is_not_this_ones(bundle: Path) -> None:
    files = OpenedFiles([bundle / "labels.npz"])
    subprocess.run(["cat", bundle / "labels.npz"], check=True, stdout=subprocess.DEVNULL)
    with files.pause():
        (bundle / "labels.npz").read_bytes()
    assert files.opened() == []
    (bundle / "labels.npz").read_bytes()
    assert files.opened() == ([str(bundle / "labels.npz")] if files.watching else [])


def test_a_snapshot_holds_still() -> None:
    first, second = snapshot(), snapshot()
    assert {name for name, value in first.items() if second[name] is not value and second[name] != value} == set()


def test_the_kernels_clock_is_pythons() -> None:
    if monotonic_ns() is None:
        pytest.skip("the call's number is not known on this machine")
    assert clock_off_ns() == 0


def test_pairs_are_measured_in_turn_and_swapped() -> None:
    order: list[str] = []

    def side(name: str, service_ns: float) -> Callable[[int], Any]:
        return lambda n: (order.append(f"{name}{n}"), trace_of(service_ns))[1]

    pairs = in_pairs(side("a", 2.0), side("b", 1.0), 0)
    assert pairs == [[2.0, 1.0]] * FEWEST_PAIRS
    assert order[:4] == ["a0", "b0", "b1", "a1"]
    assert len(in_pairs(side("a", 2.0), side("b", 1.0), 10**15)) == MOST_PAIRS


@pytest.mark.parametrize(
    ("max_batch", "batch", "samples", "expected"),
    [
        (1, 1, 64, [1]),
        (6, 1, 64, [1, 2, 4, 6]),
        (None, 1, 64, [1, 2, 4, 8]),
        (None, 16, 12, [1, 2, 4, 8, 12]),
        (32, 8, 3, [1, 2, 3]),
    ],
)
def test_batches_are_powers_of_two_and_the_largest(max_batch: int | None, batch: int, samples: int, expected: list[int]) -> None:
    assert sizes(max_batch, batch, samples) == expected


def test_outputs_are_kept_as_they_were_and_changes_are_counted() -> None:
    sink = Sink(Columns(4), frozenset({0, 1}), lambda ids: None)
    late, steady = {"y": np.zeros(2, np.float32)}, {"y": np.ones(2, np.float32)}
    sink.keep((0,), late)
    sink.keep((1,), steady)
    late["y"][:] = 7
    assert [outputs["y"].tolist() for _, outputs in sink.kept] == [[0, 0], [1, 1]]
    assert sink.unsettled() == 1
    assert sink.held == []


def test_a_batch_that_reaches_over_the_end_is_whole(make_samples: Callable[[int], SampleSet]) -> None:
    samples = make_samples(2)
    taken = samples.take([8, 9, 0, 1])
    assert taken["x"][:, 0].tolist() == [8, 9, 0, 1]


def test_a_probe_that_cannot_be_carried_out_says_why(tmp_path: Path) -> None:
    class Impossible:
        name = "impossible"

        def carry_out(self, bench: Any) -> dict[str, Any]:
            raise NotCarriedOut("there is nothing to hold on to")

    class Possible:
        name = "possible"

        def carry_out(self, bench: Any) -> dict[str, Any]:
            bench.arrays["possible/0"] = np.arange(3)
            return {"seen": 1}

    bench: Any = SimpleNamespace(folder=tmp_path, arrays={})
    session.carry_out([Impossible()], bench)
    session.carry_out([Possible()], bench)
    known = json.loads((tmp_path / session.OBSERVATIONS).read_text(encoding="utf-8"))
    assert known == {"impossible": {"not_carried_out": "there is nothing to hold on to"}, "possible": {"seen": 1}}
    assert np.load(tmp_path / session.ARRAYS)["possible/0"].tolist() == [0, 1, 2]
    assert {path.name for path in tmp_path.iterdir()} == {session.ARRAYS, session.OBSERVATIONS}


def test_every_probe_has_a_name_of_its_own() -> None:
    names = [probe.name for probe in (*PROBES_LIVE, *PROBES_CLOSED)]
    assert len(set(names)) == len(names)
