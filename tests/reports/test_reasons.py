"""Whatever sentence the kernel writes into a record is recognised, so that a changed one is noticed here."""

from __future__ import annotations

import ast
import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tomllib

import npubench
import npubench_models
from npubench.analyze import operators
from npubench.analyze.certified import certified_percentiles
from npubench.analyze.counter import counter_joules
from npubench.analyze.energy import Track
from npubench.analyze.estimate import Estimate
from npubench.analyze.gauge import gauge_joules
from npubench.analyze.intervals import over_repeats, ratio_of_percentiles, throughput
from npubench.analyze.memory import DAMAGED, account_memory, slope
from npubench.analyze.metrics import no_metrics
from npubench.analyze.outputs import score_outputs
from npubench.analyze.readings import account_energy
from npubench.contract.power_limit import PowerLimit
from npubench.contract.runspec import Phase, Scenario
from npubench.measure import power_limit
from npubench.measure.memory import NEVER, UNTOLD, MemoryTrack
from npubench.measure.meters.profile import load_profile
from npubench.measure.meters.sensor import MeterError
from npubench.measure.profiled import OPERATORS
from npubench.measure.profiler import NONE
from npubench.measure.runner import _Watch, run_worker
from npubench.plan.workload import GateRule
from npubench.record.account import _verdict
from npubench.report import comparison, ratio
from npubench_reports import reasons
from npubench_reports.messages import load
from npubench_reports.reasons import say
from npubench_reports.said import fields

KO, EN = load("ko"), load("en")
NAME = "sim:npu0 on probe"
KERNEL = Path(npubench.__file__).parent
SECOND = 1_000_000_000


def recognised(text: str) -> bool:
    """Return whether a sentence comes out in both languages as the catalogue's and not as it stands."""
    return bool(text) and all(not say(text, messages).foreign for messages in (KO, EN))


def integers(*values: int) -> Any:
    return np.array(values, np.int64)


def absent_percentiles() -> Iterator[Estimate]:
    yield from certified_percentiles(integers(*range(1, 11)), (0.9, 0.99, 0.999))


def missing_intervals() -> Iterator[Estimate]:
    yield throughput(integers(), integers(), 0, SECOND)
    yield throughput(integers(1, 2, 3), integers(1, 1, 1), 0, SECOND)
    yield over_repeats([], "ns")
    yield over_repeats([1.0], "ns")
    yield ratio_of_percentiles(integers(), integers(1))
    yield ratio_of_percentiles(integers(1), integers(0))
    yield ratio_of_percentiles(integers(1, 2), integers(1, 2))
    yield ratio.ratio_over_repeats([1.0, 1.0], [1.0, 1.0], True)
    yield ratio._of_rates(Estimate(1.0, "x"), Estimate(2.0, "x"))
    repeats: Any = [SimpleNamespace(metrics={"latency_p99": Estimate(value, "ns")}) for value in (1.0, None)]
    yield comparison._over(repeats)["latency_p99"]


def track(values: Any, seconds: float = 60.0, **said: Any) -> Track:
    """Return readings every 10 ms of a sensor that says what it likes of itself."""
    times = np.arange(round(seconds * 100), dtype=np.int64) * SECOND // 100
    shown = np.asarray(values, np.int64)[: times.size]
    return Track(times, shown, np.ones(times.size, bool), **{"update_period_ns": SECOND // 100, "quantum": 1, **said})


def absent_energy(tmp_path: Path) -> Iterator[Estimate]:
    """Yield figures that every sensor trouble makes absent."""
    end = 60 * SECOND
    generator = np.random.default_rng(1)
    rising = np.arange(6000, dtype=np.int64) * 400_000
    steady = np.full(6000, 40_000) + generator.integers(-2000, 2000, 6000)
    late = rising.copy()
    late[3000:] = late[3000]
    stuck = steady.copy()
    stuck[1000:5000] = stuck[1000]
    silent = track(steady)
    yield counter_joules(track(rising * 0), 0, end).joules
    yield counter_joules(track(late), 0, end).joules
    yield counter_joules(track(rising * 10**6), 0, end).joules
    yield gauge_joules(track(stuck), 0, end).joules
    yield gauge_joules(replace(silent, times_ns=silent.times_ns[::-1].copy()), 0, end).joules
    yield gauge_joules(silent, SECOND, SECOND).joules
    yield gauge_joules(replace(silent, valid=~silent.valid), 0, end).joules
    yield gauge_joules(track(steady, update_period_ns=4 * SECOND), 0, end).joules
    yield gauge_joules(silent, 0, 3 * end).joules
    pair = tmp_path / "pair.npz"
    write_readings(pair, {"left": steady, "right": stuck})
    whole = account_energy([pair], (0, end), 100)[0]
    yield from (whole.joules, whole.peak_watts, whole.idle_watts, whole.accuracy_joules)
    coarse = tmp_path / "coarse.npz"
    write_readings(coarse, {"coarse": np.where(np.arange(6000) // 300 % 2, 60_000, 10_000)}, averages=False, period=SECOND)
    yield account_energy([coarse], (0, end), 100)[0].samples_per_joule
    write_readings(coarse, {"fine": steady})
    yield account_energy([coarse], (0, end), 0)[0].samples_per_joule
    write_readings(coarse, {"seldom": generator.integers(10_000, 70_000, 6000)}, averages=False, period=SECOND // 400)
    yield account_energy([coarse], (0, end), 100)[0].samples_per_joule
    write_readings(coarse, {"stepped": steady // 1000 * 1000}, quantum=1000)
    yield account_energy([coarse], (0, end), 100)[0].samples_per_joule
    write_readings(coarse, {"nothing": steady * 0})
    yield account_energy([coarse], (0, end), 9)[0].samples_per_joule


def write_readings(
    path: Path, columns: dict[str, Any], averages: bool = True, period: int = SECOND // 100, quantum: int = 1
) -> None:
    """Write power gauges of one card as a sampler leaves them."""
    said = {"domain": "card", "kind": "power", "update_period_ns": period, "wraps_at": None, "averages": averages}
    said["quantum"] = quantum
    header = np.frombuffer(json.dumps([{"name": name, **said} for name in columns]).encode(), np.uint8)
    arrays: dict[str, Any] = {}
    for n, values in enumerate(columns.values()):
        made = track(values)
        arrays |= {f"{n}_times_ns": made.times_ns, f"{n}_values": made.values, f"{n}_valid": made.valid}
    np.savez(path, header=header, **arrays)


def unfixed() -> Iterator[str]:
    """Yield why ranges are not fixed, as the meter itself says."""
    ranges = pytest.importorskip("npubench.measure.meters.ranges")
    profile = load_profile("yokogawa-wt300")
    free: dict[str, float | None] = {"voltage_range": None, "current_range": None}
    seen = {"voltage_range": 230.0, "current_range": 1.5}

    def after(line: Any, highest: dict[str, float], wanted: Any = free, single: bool = True, how: Any = profile) -> str:
        made = ranges.Ranges(line, how, {}, wanted, single)
        made.highest |= highest
        made.fix()
        return str(made.reason)

    def gone(*_: object) -> str:
        raise MeterError("settings.address: it does not answer")

    small = SimpleNamespace(order=lambda *_: None, ask=lambda _: "1.0", resting=lambda: False, forget_errors=lambda: None)
    yield ranges.Ranges(small, profile, {}, free, True).reason
    yield after(small, seen, single=False)
    yield after(small, seen, how=replace(profile, voltage_range=None))
    yield after(small, {"voltage_range": 230.0})
    yield after(small, {**seen, "voltage_range": 1000.0})
    yield after(small, seen, {"voltage_range": 150.0, "current_range": 2.0})
    yield after(small, seen)
    yield after(SimpleNamespace(order=gone, resting=lambda: True), seen)
    yield "it gave no number after its ranges were fixed"


def test_why_ranges_are_not_fixed_is_recognised() -> None:
    found = [*unfixed()]
    assert [text for text in found if not recognised(text)] == []
    assert len(set(found)) == len(found)


def absent_operators(tmp_path: Path) -> Iterator[str]:
    """Yield why there is no profile, and why one does not tell the host's part."""
    path = tmp_path / OPERATORS
    yield NONE
    yield operators.NO_PLACE
    yield operators.NO_TIME
    yield operators.account_operators(path).reason or ""
    for text in ("[", "[]", '{"samples": 0, "batch": 1, "operators": []}', '{"samples": 1, "batch": 1, "operators": []}'):
        path.write_text(text, encoding="utf-8")
        yield operators.account_operators(path).reason or ""


def test_why_there_is_no_profile_is_recognised(tmp_path: Path) -> None:
    found = [*absent_operators(tmp_path)]
    assert [text for text in found if not recognised(text)] == []
    assert len(set(found)) == len(found)


def absent_memory() -> Iterator[Estimate]:
    """Yield figures of memory that nothing, too little or nothing new was read for."""
    none = integers()
    window: Any = SimpleNamespace(start_ns=0, end_ns=9, done_ns=integers(1))
    for reason in (NEVER, UNTOLD, DAMAGED):
        yield account_memory(MemoryTrack(none, none, none, none, ("start",), reason), window).growth
    yield account_memory(MemoryTrack(none, none, none, none, ("start",)), window).start
    yield account_memory(MemoryTrack(integers(5), *(integers(0),) * 3, ("start",)), None).start
    yield slope(integers(1), np.zeros(1))
    yield slope(np.zeros(30, np.int64), np.zeros(30))
    yield slope(np.arange(20), np.arange(20) ** 3.0)


def absent_accuracy() -> Iterator[Estimate]:
    gate: Any = SimpleNamespace(metric="top1", unit="ratio")
    yield score_outputs(gate, ["y"], [np.zeros(2)], {}, [np.zeros(2)], lambda *_: float("nan"))


def test_reasons_of_absent_figures_are_recognised(tmp_path: Path) -> None:
    estimates = [*absent_percentiles(), *missing_intervals(), *absent_energy(tmp_path), *absent_memory(), *absent_accuracy()]
    assert [e.reason for e in estimates if not recognised(e.reason or "")] == []
    assert len({e.reason for e in estimates}) == len(estimates)


def watch(patience_s: float, deadline_s: float) -> _Watch:
    spec: Any = SimpleNamespace(
        target=SimpleNamespace(backend="sim", device="npu0"),
        workload="probe",
        watchdog_s=patience_s,
        deadlines_s={Phase.MEASURE.value: deadline_s},
    )
    made = _Watch(spec)
    made.take({"event": "phase", "phase": Phase.MEASURE.value})
    return made


def endings() -> Iterator[str]:
    for impatient in (watch(60.0, 0.0), watch(0.0, 60.0)):
        assert impatient.judge()
        yield impatient.conclude(None)[1]
    for code in (-11, -9, 3, 71, None):
        yield watch(60.0, 60.0).conclude(code)[1]


def test_how_a_worker_ends_is_recognised(tmp_path: Path) -> None:
    target = SimpleNamespace(name="npu", python=str(tmp_path / "none"), env={}, backend="sim", device="npu0")
    spec: Any = SimpleNamespace(target=target, load=SimpleNamespace(scenario=Scenario.OFFLINE))
    reasons_of = list(endings())
    outcome = _started(spec, tmp_path)
    reasons_of.append(outcome.reason)
    finished: Any = SimpleNamespace(outcome=SimpleNamespace(kind="finished"), machine=None)
    nothing: Any = None
    reasons_of.append(_verdict(tmp_path, spec, nothing, nothing, finished, {})[1] or "")
    assert [text for text in reasons_of if not recognised(text)] == []
    metrics = no_metrics(reasons_of[0], Scenario.SERVER)
    assert all(recognised(estimate.reason or "") for estimate in metrics.values())


def _started(spec: Any, folder: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("npubench.measure.runner.to_plain", lambda _: {})
        return run_worker(spec, folder)


#: File → calls whose sentence ends up in a record: the name of what is called, and which argument it is.
CALLS = {
    "measure/worker.py": {"fail": 1},
    "measure/dispatch.py": {"fail": 0},
    "measure/check.py": {"OutputError": 0},
    "measure/binding.py": {"BindingError": 0},
    "measure/plugin.py": {"PluginError": 0},
    "measure/process.py": {"append": 0},
    "measure/profiled.py": {"ProfileError": 0},
    "measure/profiler.py": {"ProfileError": 0, "reason_json": 0},
    "contract/bundle.py": {"BundleError": 0},
    "contract/options.py": {"OptionError": 0},
    "record/account.py": {"none": 1},
    "analyze/counter.py": {"nothing": 0},
    "analyze/gauge.py": {"nothing": 0},
}
#: What stands in a sentence for an expression in it.
SAMPLES = {"name": NAME, "self.name": NAME, "where": "target 'npu': options", "what": "input", "phase.value": "measure"}
CANDIDATES = ("7", "words", "compile")


def written(path: str) -> Iterator[ast.expr]:
    for node in ast.walk(ast.parse((KERNEL / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            at = CALLS[path].get(called)
            if at is not None and at < len(node.args):
                yield node.args[at]


def worded(expression: ast.expr) -> list[str]:
    """Return what an f-string may read, or nothing where the sentence is made elsewhere."""
    if isinstance(expression, ast.Constant) and isinstance(expression.value, str) and expression.value:
        return [expression.value]
    if not isinstance(expression, ast.JoinedStr):
        return []
    pieces: list[tuple[str, ...]] = []
    for value in expression.values:
        if isinstance(value, ast.Constant):
            pieces.append((str(value.value),))
        elif isinstance(value, ast.FormattedValue):
            source = ast.unparse(value.value)
            pieces.append((SAMPLES[source],) if source in SAMPLES else ("7",) if value.format_spec else CANDIDATES)
    return ["".join(parts) for parts in itertools.product(*pieces)]


@pytest.mark.parametrize("path", CALLS)
def test_every_sentence_written_in_the_kernel_is_recognised(path: str) -> None:
    found = [texts for expression in written(path) if (texts := worded(expression))]
    assert found
    assert [texts[0] for texts in found if not any(map(recognised, texts))] == []


@pytest.mark.parametrize("module", ["validity", "power_rules", "client", "declaration", "memory"])
def test_fixed_sentences_of_findings_are_recognised(module: str) -> None:
    """Those with numbers in them come from the evidence; see ``test_findings``."""
    for node in ast.walk(ast.parse((KERNEL / f"analyze/{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding":
            fixed = [a.value for a in node.args[2:4] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            assert [text for text in fixed if not recognised(text)] == []


def test_the_rules_of_gates_are_recognised() -> None:
    for path in sorted((Path(npubench_models.__file__).parent / "workloads").glob("*.toml")):
        gate = tomllib.loads(path.read_text(encoding="utf-8"))["gate"]
        assert recognised(GateRule(**gate).sentence()), path.name
    for higher in (True, False):
        for given in ({"required": 3.0}, {"required_ratio": 0.9}):
            rule = GateRule(metric="rmse", unit="K", claim="accuracy", higher_is_better=higher, **given)  # type: ignore[arg-type]
            assert recognised(rule.sentence())


class _Limit(PowerLimit):
    """A device's limit that says what a test gives it, and takes what is set or refuses it."""

    def __init__(self, *readings: int | None, refuse: Exception | None = None) -> None:
        self.readings, self.refuse = list(readings), refuse

    def read(self) -> int | None:
        return self.readings.pop(0)

    def set(self, milliwatts: int) -> None:
        if self.refuse is not None:
            raise self.refuse


def power_limits(folder: Path) -> Iterator[str]:
    class ReadOnly(PowerLimit):
        def read(self) -> int:
            return 300_000

    free = _Limit(300_000)
    for sight in (
        power_limit.Sight(),
        power_limit.Sight(free, complaint="OSError: words"),
        power_limit.Sight(ReadOnly(), 300_000),
        power_limit.Sight(free),
        power_limit.Sight(free, 300_000, (200_000, 400_000)),
    ):
        yield power_limit.refusal(sight, 150_500)
    for limit in (_Limit(refuse=PermissionError("root's")), _Limit(refuse=OSError("words")), _Limit(None), _Limit(200_000)):
        with pytest.raises(power_limit.PowerLimitError) as caught:
            power_limit.enforce(limit, 300_000, 150_000, folder)
        yield str(caught.value)
    yield power_limit.moved(_Limit(None), 150_000)
    yield power_limit.moved(_Limit(200_000), 150_000)
    left = power_limit.restore_from_outside(str(folder / "no-python"), {}, folder)
    yield left
    yield f"{NAME}: the worker was killed by SIGKILL in phase measure; {left}"


def test_what_is_said_of_power_limits_is_recognised(tmp_path: Path) -> None:
    sentences = list(power_limits(tmp_path))
    assert [
        text for text in sentences if not text or not any(part.text for part in say(text, KO).parts if not part.foreign)
    ] == []
    assert [text for text in sentences if say(text, KO).parts[0].foreign] == []
    assert len({say(text, EN).parts for text in sentences}) == len(sentences)


def test_numbers_are_the_locales_and_the_phase_has_its_name() -> None:
    assert (
        str(say("p99.9 needs 6636 queries, the run has 1743", KO))
        == "99.9 백분위수에는 요청 6,636건 이상 필요, 측정한 요청은 1,743건"
    )
    hung = f"{NAME}: hung in phase warm-up: no sample completed for 60 s; killed"
    assert str(say(hung, KO)) == "예열 단계에서 응답이 멈춤: 60초 동안 완료된 샘플이 없어 강제 종료함"
    assert "warm-up phase" in str(say(hung, EN))


def test_a_vendors_words_are_kept_and_marked() -> None:
    said = say("unsupported: E042: operator 'Foo' <is> refused", KO)
    assert [part.text for part in said.parts if part.foreign] == ["E042: operator 'Foo' <is> refused"]
    assert str(say(f"{NAME}: RuntimeError: device error 0x5A", KO)) == "플러그인 오류: “RuntimeError: device error 0x5A”"
    both = f"{NAME}: the worker was killed by SIGSEGV in phase measure; the worker left a damaged account: 'x'"
    assert str(say(both, KO)).startswith("측정 단계에서")


@pytest.mark.parametrize("text", ["no device", "p99 needs more queries", "hardware, of some kind", "on: off", "x: y on z"])
def test_what_is_not_the_kernels_stays_as_it_is(text: str) -> None:
    for messages in (KO, EN):
        assert say(text, messages).foreign
        assert str(say(text, messages)) == text


def test_every_row_of_the_table_has_its_text_and_fills_it_in() -> None:
    for key, pattern in (*reasons.TABLE, *reasons.PLUGIN):
        for messages in (KO, EN):
            wanted = fields(messages.texts[f"reason.{key}"])
            assert wanted <= set(pattern.groupindex), key
            spoken = set(pattern.groupindex) - {"class"}
            assert spoken <= wanted, key
