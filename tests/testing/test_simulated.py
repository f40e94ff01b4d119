"""The simulated device obeys its laws, says that it is simulated, and commits exactly the faults it is asked for."""

import dataclasses
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from npubench.contract import Model, OptionError, Rung, Unsupported, parse_options, submits
from npubench.testing.board import DeviceInUseError
from npubench.testing.executor import SimulatedExecutor, wait_until
from npubench.testing.faults import FAULTS, spoil
from npubench.testing.graph import GraphError, read_graph
from npubench.testing.laws import PRESETS, busy_ns, energy_uj, service_times_ns
from npubench.testing.simulated import FAULT_VARIABLE, SimulatedBackend
from npubench_models.workloads import probe

Array = np.ndarray
Load = Callable[..., SimulatedExecutor]

BACKEND = SimulatedBackend()
INPUTS = {"x": probe.samples().astype(np.float32)}
TRUTH = np.maximum(probe.samples() @ probe.matrix() + probe.offsets(), 0).astype(np.float32)


@pytest.fixture(autouse=True)
def own_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the test simulated devices that no other process uses."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


@pytest.fixture
def model(tmp_path: Path) -> Model:
    path = tmp_path / "model.onnx"
    onnx.save(probe.build(None).model, path)  # type: ignore[arg-type]  # the probe takes nothing from its sources
    graph = read_graph(path)
    return Model(path, "sha256:0", "probe", "fp32", graph.inputs, graph.outputs)


@pytest.fixture
def load(model: Model, tmp_path: Path) -> Load:
    def load(device: str = "sim:plain", **options: Any) -> SimulatedExecutor:
        read = parse_options(BACKEND.Options, {"fixed_us": 0.0, "per_sample_us": 0.0, **options})
        named = {found.name: found for found in BACKEND.probe().devices}[device]
        executor = BACKEND.load(BACKEND.compile(model, named, read, tmp_path), named, read)
        assert isinstance(executor, SimulatedExecutor)
        return executor

    return load


def batch(first: int = 0, size: int = 4) -> dict[str, Array]:
    return {"x": INPUTS["x"][first : first + size]}


# ---------------------------------------------------------------- what it computes


def test_it_computes_the_probe(load: Load) -> None:
    with load(max_batch=64) as executor:
        np.testing.assert_array_equal(executor.execute(INPUTS)["y"], TRUTH)
        assert [spec.name for spec in executor.inputs] == ["x"]
        assert executor.outputs[0].dtype == "float32"
        assert executor.outputs[0].shape == (None, 8)
        offload = executor.offload()
        assert (offload.device_operators, offload.ratio) == (3, 1.0)


def edited(model: Model, edit: Callable[[onnx.ModelProto], None]) -> Model:
    """Return the model with something about it changed, as an auditor would."""
    proto = onnx.load(model.path)
    edit(proto)
    path = model.path.with_name("edited.onnx")
    onnx.save(proto, path)
    return dataclasses.replace(model, path=path)


def without_relu(proto: onnx.ModelProto) -> None:
    next(node for node in proto.graph.node if node.op_type == "Relu").op_type = "Identity"


def other_weights(proto: onnx.ModelProto) -> None:
    for tensor in proto.graph.initializer:
        tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) + np.float32(1), tensor.name))


def weights_as_floats(proto: onnx.ModelProto) -> None:
    for tensor in proto.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        tensor.CopyFrom(onnx.helper.make_tensor(tensor.name, onnx.TensorProto.FLOAT, values.shape, values.ravel().tolist()))


def test_an_edited_model_gives_other_outputs(model: Model) -> None:
    plain = read_graph(model.path).compute(INPUTS)["y"]
    linear = read_graph(edited(model, without_relu).path).compute(INPUTS)["y"]
    assert linear.min() < 0.0
    np.testing.assert_array_equal(np.maximum(linear, 0.0), plain)
    assert (read_graph(edited(model, other_weights).path).compute(INPUTS)["y"] != plain).any()
    np.testing.assert_array_equal(read_graph(edited(model, weights_as_floats).path).compute(INPUTS)["y"], plain)


def test_the_compiler_refuses_what_it_does_not_know(model: Model, tmp_path: Path) -> None:
    def sigmoid(proto: onnx.ModelProto) -> None:
        proto.graph.node[-1].op_type = "Sigmoid"

    device, options = BACKEND.probe().devices[0], BACKEND.Options()
    with pytest.raises(Unsupported, match="operator Sigmoid is not supported"):
        BACKEND.compile(edited(model, sigmoid), device, options, tmp_path)
    for content in (b"", b"not a model", bytes(range(256)), model.path.read_bytes()[:-40]):
        path = tmp_path / "damaged.onnx"
        path.write_bytes(content)
        with pytest.raises(Unsupported, match="not an ONNX model"):
            BACKEND.compile(dataclasses.replace(model, path=path), device, options, tmp_path)
        with pytest.raises(GraphError):
            read_graph(path)


def test_it_supports_the_probe_alone(model: Model) -> None:
    device = BACKEND.probe().devices[0]
    assert BACKEND.supports(model, device).supported
    refused = BACKEND.supports(dataclasses.replace(model, workload="resnet50"), device)
    assert (refused.supported, refused.reason) == (False, "the simulated device runs only the probe workload")
    assert not BACKEND.supports(dataclasses.replace(model, precision="vendor"), device).supported


def test_outputs_belong_to_the_caller(load: Load) -> None:
    with load() as executor:
        first = executor.execute(batch())["y"]
        kept = first.copy()
        executor.execute(batch(8))
        np.testing.assert_array_equal(first, kept)
        assert first.flags.writeable
        assert first.flags.c_contiguous


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ({}, "input 'x' is missing"),
        ({"x": np.zeros((1, 16))}, "'x' is float64 .*; declared is float32"),
        ({"x": np.zeros((1, 15), np.float32)}, r"of shape \[1, 15\]; declared is float32 of shape \[1…4, 16\]"),
        ({"x": np.zeros((5, 16), np.float32)}, r"of shape \[5, 16\]; declared is float32 of shape \[1…4, 16\]"),
        ({"x": np.zeros((0, 16), np.float32)}, r"of shape \[0, 16\]; declared is float32 of shape \[1…4, 16\]"),
    ],
)
def test_it_refuses_what_no_device_would_take(load: Load, inputs: Mapping[str, Array], text: str) -> None:
    with load(max_batch=4) as executor:
        with pytest.raises(ValueError, match=text):
            executor.execute(inputs)
        executor.execute(batch())  # and goes on


# ---------------------------------------------------------------- what it says


def test_everything_carries_simulated(load: Load) -> None:
    found = BACKEND.probe()
    assert found.rung is Rung.READY
    assert {device.name for device in found.devices} == set(PRESETS)
    assert all(device.simulated and device.kind.startswith("SIMULATED") for device in found.devices)
    assert all("SIMULATED" in name for name in found.versions)
    for device in found.devices:
        assert all(sensor.name.startswith("SIMULATED") for sensor in BACKEND.sensors(device))
    with load() as executor:
        executor.execute(batch())
        assert executor.notes()["device"].startswith("SIMULATED")
        assert "true service time, median" in executor.notes()
        assert executor.offload().source.startswith("SIMULATED")


def test_artefacts_carry_simulated(model: Model, tmp_path: Path) -> None:
    device, options = BACKEND.probe().devices[0], BACKEND.Options()
    artefact = BACKEND.compile(model, device, options, tmp_path)
    assert artefact.path.parent == tmp_path
    assert artefact.compiler.startswith("SIMULATED")
    assert artefact.notes["device"].startswith("SIMULATED")
    assert BACKEND.compile_key(device, options) == BACKEND.compile_key(device, BACKEND.Options(fixed_us=1.0))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"fault": "stael"}, "did you mean 'stale'?"),
        ({"jitter": "gama"}, "did you mean 'gamma'?"),
        ({"course": "squares"}, "did you mean 'square'?"),
        ({"sensor_period": 1.0}, "did you mean 'sensor_period_ms'?"),
        ({"fixed_ms": 1.0}, "did you mean 'fixed_us'?"),
        ({"fault_after": -1}, "0 or more"),
        ({"max_batch": "4"}, "max_batch"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], text: str) -> None:
    with pytest.raises(OptionError, match=text.replace("?", r"\?")):
        parse_options(BACKEND.Options, options)


def test_impossible_laws_are_refused(load: Load) -> None:
    for options in (
        {"max_batch": 0},
        {"fixed_us": -1.0},
        {"active_mw": 1},
        {"drift_time_s": 0.0},
        {"drift_percent": -100.0},
        {"course_s": 0.0},
        {"sensor_dropped": 1.0},
        {"sensor_jitter": -1.0},
        {"energy_wraps_uj": 1},
        {"throttled_percent": 0.0},
    ):
        with pytest.raises(ValueError, match=next(iter(options))):
            load(**options)


def test_importing_it_needs_numpy_alone() -> None:
    heavy = "{'scipy', 'onnx', 'onnxruntime', 'pydantic', 'psutil'}"
    code = f"import sys, npubench.testing.simulated; sys.exit(bool({heavy} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


# ---------------------------------------------------------------- how long it takes


def test_no_request_is_faster_than_the_law(load: Load) -> None:
    with load(
        fixed_us=200.0, per_sample_us=50.0, jitter="gamma", jitter_us=100.0, drift_percent=50.0, drift_time_s=0.01
    ) as executor:
        before = time.monotonic_ns()
        for _ in range(30):
            executor.execute(batch())
        after = time.monotonic_ns()
        truth = executor.truth()
        law = service_times_ns(executor.law, 30, batch=4)
    assert (truth.service_ns >= law).all()
    assert (truth.batch == 4).all()
    assert before <= truth.start_ns[0]
    assert truth.done_ns[-1] <= after
    assert (truth.latency_ns >= truth.service_ns).all()
    assert (truth.start_ns[1:] >= truth.end_ns[:-1]).all()


def test_waiting_ends_at_or_after_the_deadline() -> None:
    for ahead in (-1_000_000, 0, 1_000, 500_000):
        deadline = time.monotonic_ns() + ahead
        assert deadline <= wait_until(deadline) <= time.monotonic_ns()


def test_the_truth_log_is_written_and_bounded(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("npubench.testing.executor.TRUTH_LIMIT", 5)
    executor = load(truth=str(tmp_path / "truth.npz"))
    for _ in range(8):
        executor.execute(batch())
    assert "the last 3 requests" in executor.notes()["truth log"]
    executor.close()
    executor.close()
    with np.load(tmp_path / "truth.npz") as stored:
        assert stored["start_ns"].shape == stored["end_ns"].shape == (5,)
        assert stored["batch"].tolist() == [4] * 5
        assert (stored["done_ns"] >= stored["end_ns"]).all()
    with pytest.raises(RuntimeError, match="closed"):
        executor.execute(batch())


def test_slots_serve_side_by_side_and_no_more(load: Load) -> None:
    """Both requests are inside before either may leave: two slots; a third is one too many."""
    with load(fixed_us=200_000.0, max_in_flight=2) as executor:
        threads = [threading.Thread(target=executor.execute, args=(batch(),)) for _ in range(2)]
        for thread in threads:
            thread.start()
        while executor.in_flight < 2 and any(thread.is_alive() for thread in threads):
            time.sleep(0.001)
        said = ""
        try:
            executor.execute(batch())
        except RuntimeError as error:
            said = str(error)
        # A machine that slept through all of it found a free slot.
        assert "more than max_in_flight = 2" in said or not all(thread.is_alive() for thread in threads)
        for thread in threads:
            thread.join()
        assert executor.in_flight == 0
        executor.execute(batch())


# ---------------------------------------------------------------- native completion


class Collector:
    """Collects what ``done`` is called with, by request."""

    def __init__(self, slots: int) -> None:
        self.seen: dict[int, list[tuple[Any, Any]]] = {}
        self.free = threading.Semaphore(slots)

    def __call__(self, request: int) -> Callable[[Any, Any], None]:
        def done(outputs: Any, error: Any) -> None:
            self.seen.setdefault(request, []).append((outputs, error))
            self.free.release()

        return done


def test_submitted_requests_are_done_once_with_their_own_outputs(load: Load) -> None:
    collector = Collector(4)
    with load(asynchronous=True, max_in_flight=4, jitter="uniform", jitter_us=200.0) as executor:
        assert submits(executor)
        for request in range(60):
            collector.free.acquire()  # done frees the slot before it is called, so this never exceeds the limit
            executor.submit(batch(request), collector(request))
        for _ in range(4):
            collector.free.acquire()
        assert (executor.truth().service_ns >= 0).all()
    assert sorted(collector.seen) == list(range(60))
    for request, calls in collector.seen.items():
        assert len(calls) == 1
        np.testing.assert_array_equal(calls[0][0]["y"], TRUTH[request : request + 4])


def test_without_the_option_there_is_no_submit(load: Load) -> None:
    with load() as executor:
        assert not submits(executor)


@pytest.mark.parametrize(("fault", "calls"), [("drop-done", 0), ("double-done", 2), ("raise", 1)])
def test_faults_of_completion(load: Load, fault: str, calls: int) -> None:
    collector = Collector(1)
    with load(asynchronous=True, fault=fault, fault_after=2) as executor:
        for request in range(3):
            executor.submit(batch(), collector(request))
            while executor.in_flight:
                time.sleep(0.0005)
    # Closing waits for what was accepted.
    assert [len(collector.seen.get(request, [])) for request in range(3)] == [1, 1, calls]
    if fault == "raise":
        assert isinstance(collector.seen[2][0][1], RuntimeError)


# ---------------------------------------------------------------- power


def test_sensors_in_another_process_see_the_energy(load: Load) -> None:
    """The counter read there lies between what the law gives before and after it was read."""
    read = (
        "from npubench.testing.simulated import SimulatedBackend as B;"
        "d = [d for d in B().probe().devices if d.name == 'sim:plain'][0];"
        "print(*[s.read() for s in B().sensors(d)], B().sensors(d)[0].wraps_at)"
    )
    with load(fixed_us=3000.0, idle_mw=10_000, active_mw=50_000) as executor:
        base = executor.account.base_ns
        for _ in range(5):
            executor.execute(batch())
        before = time.monotonic_ns()
        shown = subprocess.run([sys.executable, "-c", read], check=True, capture_output=True, text=True, timeout=300).stdout
        after = time.monotonic_ns()
        truth = executor.truth()
        law = executor.law
        base_uj = executor.account.base_uj
    counter, power = (int(value) for value in shown.split()[:2])
    busy = busy_ns(truth.start_ns, truth.end_ns, base, after)
    period = law.sensor_period_ns
    assert base_uj + energy_uj(law, busy, before - base - period) <= counter <= base_uj + energy_uj(law, busy, after - base)
    assert power == 10_000  # idle for longer than the gauge's period: starting the process took that


def test_the_counter_goes_on_from_executor_to_executor(load: Load) -> None:
    device = next(device for device in BACKEND.probe().devices if device.name == "sim:plain")
    counter, power = BACKEND.sensors(device)
    assert (counter.kind, power.kind) == ("energy", "power")
    seen = [counter.read()]
    for _ in range(3):
        with load(fixed_us=2000.0, idle_mw=20_000):
            seen.append(counter.read())
        seen.append(counter.read())
    assert None not in seen
    assert seen == sorted(seen)  # type: ignore[type-var]


def test_a_sensor_takes_the_period_of_the_executor(load: Load) -> None:
    device = next(device for device in BACKEND.probe().devices if device.name == "sim:plain")
    with load(sensor_period_ms=250.0):
        (counter, _) = BACKEND.sensors(device)
        counter.read()
        assert counter.update_period_ns == 250_000_000


def test_a_gauge_has_no_value_before_its_first_period(load: Load) -> None:
    device = next(device for device in BACKEND.probe().devices if device.name == "sim:ca22")
    with load("sim:ca22", sensor_period_ms=3_600_000.0):
        assert [sensor.read() for sensor in BACKEND.sensors(device)] == [None]


def test_devices_have_the_sensors_of_their_presets() -> None:
    kinds = {device.name: [sensor.kind for sensor in BACKEND.sensors(device)] for device in BACKEND.probe().devices}
    assert kinds == {"sim:plain": ["energy", "power"], "sim:ca22": ["power"], "sim:aries": ["power"], "sim:dx-m1": []}


def test_one_executor_has_a_device(load: Load) -> None:
    with load(), pytest.raises(DeviceInUseError, match="sim:plain is in use"):
        load()
    with load(), load("sim:aries"):
        pass


def test_a_planted_account_is_refused(load: Load, tmp_path: Path) -> None:
    load().close()
    (folder,) = tmp_path.glob("npubench-simulated-*")
    assert folder.stat().st_mode & 0o777 == 0o700
    account = folder / "sim-plain.account"
    assert account.stat().st_mode & 0o777 == 0o600
    account.unlink()
    account.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="sim-plain"):
        load()
    account.unlink()
    folder.chmod(0o777)
    with pytest.raises(PermissionError, match="not this user's own"):
        load()
    folder.chmod(0o700)


# ---------------------------------------------------------------- faults


def check_outputs(fault: str, outputs: Mapping[str, Array], good: Array) -> None:
    values = outputs.get("y")
    if fault == "missing-output":
        assert values is None
        return
    assert values is not None
    if fault == "nan":
        assert np.isnan(values).any()
    elif fault == "shape":
        assert values.shape == (4, 7)
    elif fault == "dtype":
        assert values.dtype == np.float64
    elif fault == "extra":
        assert set(outputs) == {"y", "extra"}
        np.testing.assert_array_equal(values, good)
    else:
        assert fault == "late-garbage"
        assert values.shape == good.shape
        assert values.dtype == good.dtype
        assert np.isfinite(values).all()
        assert not (values == good).any()


@pytest.mark.parametrize("fault", ["nan", "shape", "dtype", "missing-output", "extra", "late-garbage"])
def test_faults_of_outputs_begin_when_asked(load: Load, fault: str) -> None:
    with load(fault=fault, fault_after=3) as executor:
        for _ in range(3):
            outputs = executor.execute(batch())
            assert set(outputs) == {"y"}
            np.testing.assert_array_equal(outputs["y"], TRUTH[:4])
        for _ in range(2):
            check_outputs(fault, executor.execute(batch()), TRUTH[:4])


def test_stale_outputs_are_those_of_the_request_before(load: Load) -> None:
    with load(fault="stale", fault_after=1) as executor:
        for request in range(4):
            values = executor.execute(batch(request))["y"]
            source = max(request - 1, 0)
            np.testing.assert_array_equal(values, TRUTH[source : source + 4])
        np.testing.assert_array_equal(executor.execute(batch(0, 2))["y"], TRUTH[:2])  # no other of this size before


def test_garbage_is_garbage_for_any_values() -> None:
    for values in (np.zeros((2, 8), np.float32), np.full((1, 3), 7, np.int32), TRUTH):
        assert not (spoil("late-garbage", {"y": values}, None)["y"] == values).all(axis=-1).any()


def test_a_request_that_raises_leaves_its_slot(load: Load) -> None:
    with load(fault="raise", fault_after=1) as executor:
        executor.execute(batch())
        for _ in range(3):
            with pytest.raises(RuntimeError, match="SIMULATED device error"):
                executor.execute(batch())
        assert executor.in_flight == 0


def test_memory_leaks(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[bytearray] = []
    monkeypatch.setattr("npubench.testing.faults._leaked", kept)
    with load(fault="memory-leak", fault_after=1) as executor:
        for _ in range(3):
            np.testing.assert_array_equal(executor.execute(batch())["y"], TRUTH[:4])
    assert [len(block) for block in kept] == [1 << 20] * 2


@pytest.mark.parametrize("fault", ["hang", "hang-in-close"])
def test_hangs_do_not_return(load: Load, fault: str) -> None:
    executor = load(fault=fault)

    def use() -> None:
        executor.execute(batch())
        executor.close()

    thread = threading.Thread(target=use, daemon=True)
    thread.start()
    thread.join(timeout=0.1)
    assert thread.is_alive()


def test_load_and_compile_refuse_when_asked(load: Load) -> None:
    with pytest.raises(RuntimeError, match="cannot be loaded"):
        load(fault="load-raises")
    with pytest.raises(Unsupported, match="E042"):
        load(fault="compile-refuses")
    load().close()


def test_probe_raises_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FAULT_VARIABLE, "probe-raises")
    with pytest.raises(RuntimeError, match="probe fails"):
        BACKEND.probe()
    monkeypatch.setenv(FAULT_VARIABLE, "hang")
    with pytest.raises(ValueError, match="only 'probe-raises'"):
        BACKEND.probe()


def child(model: Model, fault: str) -> list[str]:
    """Return the command of a process whose fifth request suffers ``fault``; a handler would end it well on SIGTERM."""
    code = (
        "import pathlib, signal, sys, numpy as np\n"
        "from npubench.contract import Artefact\n"
        "from npubench.testing.simulated import SimulatedBackend as B\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        f"artefact = Artefact(pathlib.Path({str(model.path)!r}), 'onnx')\n"
        f"options = B.Options(fixed_us=0.0, per_sample_us=0.0, fault={fault!r}, fault_after=4)\n"
        "executor = B().load(artefact, B().probe().devices[0], options)\n"
        "for number in range(5):\n"
        "    print(number, flush=True)\n"
        "    executor.execute({'x': np.zeros((1, 16), np.float32)})\n"
    )
    return [sys.executable, "-c", code]


@pytest.mark.parametrize(("fault", "status"), [("exit", 3), ("signal", -signal.SIGSEGV), ("exit-in-load", 3)])
def test_faults_that_end_the_process(model: Model, fault: str, status: int) -> None:
    ended = subprocess.run(child(model, fault), capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == status
    assert ended.stdout.split() == ([] if fault == "exit-in-load" else ["0", "1", "2", "3", "4"])


def test_a_hang_with_the_interpreter_lock_hears_no_signal(model: Model) -> None:
    with subprocess.Popen(child(model, "gil-hang"), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            while process.stdout.readline() != "4\n":
                pass
            # Asleep after that line is asleep in the mutex: nothing else on the way waits.
            while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
                time.sleep(0.001)
            process.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=0.3)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL


def test_every_fault_is_tested() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [fault for fault in FAULTS if fault and f'"{fault}"' not in text] == []
