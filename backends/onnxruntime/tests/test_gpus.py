"""NVIDIA's GPUs: how they are seen, and what a session on one is asked for.

The kernel, the driver's library and ONNX Runtime are stand-ins here. They prove the order of looking and every call that the
plug-in makes, and no answer of a GPU; the last tests ask a real one, where there is one.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import npubench_onnxruntime.devices
from npubench.contract import Artefact, Device, Executor, Rung, Unsupported
from npubench_onnxruntime import OnnxRuntimeBackend, SessionOptions
from npubench_onnxruntime.devices import list_devices
from npubench_onnxruntime.nvidia import Gpu, Sight, driver_version, look_for_gpus

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
CARD = "0000:01:00.0"


@dataclass
class LibCuda:
    """The part of libcuda that is asked, as cuda.h has it: results through pointers, 0 = success."""

    names: tuple[str, ...] = ()
    code: int = 0

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return self.code

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802
        version._obj.value = 13010
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = len(self.names)
        return 0

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:  # noqa: N802
        device._obj.value = ordinal
        return 0

    def cuDeviceGetName(self, name: Any, room: int, device: ctypes.c_int) -> int:  # noqa: N802
        name.value = self.names[device.value].encode()[: room - 1]
        return 0

    def cuDeviceGetPCIBusId(self, pci: Any, room: int, device: ctypes.c_int) -> int:  # noqa: N802
        pci.value = f"0000:0{device.value + 1}:00.0".encode()
        return 0


def no_library() -> Any:
    raise OSError("libcuda.so.1: cannot open shared object file: No such file or directory")


@pytest.mark.parametrize(
    ("cards", "driver", "libcuda", "reason", "advice"),
    [
        ((), False, no_library, "no NVIDIA GPU is seen", ""),
        ((CARD,), False, no_library, f"on the PCI bus at {CARD}, and its driver is not loaded", "install NVIDIA's driver"),
        ((CARD,), True, no_library, "its library cannot be: libcuda.so.1", "let the container have the GPU"),
        ((CARD,), True, lambda: LibCuda(code=100), "shows no GPU", "CUDA_VISIBLE_DEVICES"),
        ((CARD,), True, lambda: LibCuda(code=999), "CUDA error 999", "kernel's log"),
        ((CARD,), True, LibCuda, "shows no GPU", "nvidia-smi"),
    ],
)
def test_the_step_that_is_missing_is_named(
    cards: tuple[str, ...], driver: bool, libcuda: Callable[[], Any], reason: str, advice: str
) -> None:
    seen = look_for_gpus(lambda: cards, lambda: driver, libcuda)
    assert seen.gpus == ()
    assert reason in seen.reason
    assert advice in seen.advice


def test_gpus_have_the_drivers_names_in_cudas_order() -> None:
    seen = look_for_gpus(lambda: (), lambda: True, lambda: LibCuda(("NVIDIA H100", "NVIDIA T4")))
    assert seen == Sight((Gpu(0, "NVIDIA H100", "0000:01:00.0"), Gpu(1, "NVIDIA T4", "0000:02:00.0")), cuda="13.1")


def test_the_kernel_driver_says_its_version(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("580.95.05\n")
    assert driver_version(tmp_path / "version") == "580.95.05"
    assert driver_version(tmp_path / "none") == ""


# -- a stand-in for ONNX Runtime ----------------------------------------------------------------------------------------


class Settings:
    """``SessionOptions``, as far as the plug-in goes."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value


@dataclass
class Binding:
    """``IOBinding``: remembers where outputs are bound, and answers twice the input."""

    places: list[tuple[str, str, int]] = field(default_factory=list)
    bound: dict[str, np.ndarray] = field(default_factory=dict)

    def bind_output(self, name: str, device_type: str, device_id: int) -> None:
        self.places.append((name, device_type, device_id))

    def bind_cpu_input(self, name: str, array: np.ndarray) -> None:
        self.bound[name] = array

    def copy_outputs_to_cpu(self) -> list[np.ndarray]:
        return [self.bound["x"] * 2]


class FakeRuntime:
    """A build for GPUs. ``placed`` is provider → operator types; a session has the providers that are not in ``missing``."""

    __version__ = "1.31.1"
    ExecutionMode = SimpleNamespace(ORT_PARALLEL=1, ORT_SEQUENTIAL=0)
    GraphOptimizationLevel = SimpleNamespace(ORT_ENABLE_ALL=99)
    SessionOptions = Settings

    def __init__(self, folder: Path, placed: dict[str, list[str]], missing: tuple[str, ...] = ()) -> None:
        self.__file__ = str(folder / "__init__.py")
        self.placed, self.missing = placed, missing
        self.sessions: list[dict[str, Any]] = []
        self.bindings: list[Binding] = []
        self.preloaded = 0

    def get_available_providers(self) -> list[str]:
        return [TENSORRT, CUDA, CPU]

    def get_device(self) -> str:
        return "GPU"

    def get_ep_devices(self) -> list[Any]:
        return []

    def register_execution_provider_library(self, name: str, path: str) -> None:
        raise AssertionError("no library is named")

    def preload_dlls(self) -> None:
        self.preloaded += 1

    def InferenceSession(self, path: str, settings: Settings, **given: Any) -> Any:  # noqa: N802
        self.sessions.append({"entries": settings.entries, **given})
        if "session.disable_cpu_ep_fallback" in settings.entries and self.placed.get(CPU):
            raise Exception("This session contains nodes, but fallback to CPU EP has been explicitly disabled by the user.")
        names = [each if isinstance(each, str) else each[0] for each in given["providers"]]
        node = SimpleNamespace(name="x", type="tensor(float)", shape=["n", 2])
        return SimpleNamespace(
            get_inputs=lambda: [node],
            get_outputs=lambda: [SimpleNamespace(name="y", type="tensor(float)", shape=["n", 2])],
            get_providers=lambda: [name for name in names if name not in self.missing],
            get_provider_graph_assignment_info=lambda: [
                SimpleNamespace(ep_name=name, get_nodes=lambda t=types: [SimpleNamespace(op_type=op) for op in t])
                for name, types in self.placed.items()
            ],
            run=lambda names, inputs: [inputs["x"] * 2],
            io_binding=self._bind,
            run_with_iobinding=lambda binding: None,
        )

    def _bind(self) -> Binding:
        self.bindings.append(Binding())
        return self.bindings[-1]


def fake(
    monkeypatch: pytest.MonkeyPatch, folder: Path, placed: dict[str, list[str]], missing: tuple[str, ...] = ()
) -> FakeRuntime:
    runtime = FakeRuntime(folder, placed, missing)
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)  # type: ignore[arg-type]
    monkeypatch.setenv("NPUBENCH_ORT_EP_LIBRARY", "")
    return runtime


def gpu(family: str, provider: str) -> Device:
    return Device(f"{family}:1", "NVIDIA T4", {"provider": provider, "device_id": "1"})


def load(device: Device, **options: Any) -> Executor:
    return OnnxRuntimeBackend().load(Artefact(Path("m.onnx"), "onnx"), device, SessionOptions(**options))


def test_every_gpu_is_a_device_of_each_provider(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runtime = fake(monkeypatch, tmp_path, {})
    sight = Sight((Gpu(0, "NVIDIA H100", "0000:01:00.0"), Gpu(1, "NVIDIA T4")), cuda="13.1")
    monkeypatch.setattr(npubench_onnxruntime.devices, "look_for_gpus", lambda: sight)
    found = list_devices(runtime)
    assert [(device.name, device.kind) for device in found.devices] == [
        ("cpu", CPU),
        ("cuda:0", "NVIDIA H100"),
        ("cuda:1", "NVIDIA T4"),
        ("tensorrt:0", "NVIDIA H100"),
        ("tensorrt:1", "NVIDIA T4"),
    ]
    assert found.devices[1].details == {"provider": CUDA, "device_id": "0", "pci": "0000:01:00.0", "build": "GPU"}
    assert found.versions["cuda driver"] == "13.1"
    assert found.advice == ""


def test_a_build_for_gpus_without_one_still_has_the_cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runtime = fake(monkeypatch, tmp_path, {})
    sight = Sight(reason="NVIDIA's driver shows no GPU", advice="see nvidia-smi")
    monkeypatch.setattr(npubench_onnxruntime.devices, "look_for_gpus", lambda: sight)
    found = list_devices(runtime)
    assert (found.rung, [device.name for device in found.devices]) == (Rung.READY, ["cpu"])
    assert found.advice == f"{CUDA} and {TENSORRT}: NVIDIA's driver shows no GPU; see nvidia-smi"


def test_a_session_is_opened_on_the_gpu_that_was_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runtime = fake(monkeypatch, tmp_path, {CUDA: ["MatMul", "Relu"]})
    executor = load(gpu("cuda", CUDA), provider_options={"cudnn_conv_algo_search": "HEURISTIC"})
    opened = runtime.sessions[0]
    assert opened["providers"] == [(CUDA, {"device_id": "1", "use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"})]
    assert opened["entries"]["session.disable_cpu_ep_fallback"] == "1"
    assert opened["enable_fallback"] == 0
    assert runtime.preloaded == 1
    offload = executor.offload()
    assert offload is not None
    assert (offload.device_operators, offload.host_operators) == (2, 0)


def test_the_cpu_is_beside_a_gpu_only_where_it_is_allowed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runtime = fake(monkeypatch, tmp_path, {CUDA: ["MatMul"], CPU: ["NonMaxSuppression"]})
    with pytest.raises(
        Unsupported, match=r"runs 1 of the 2 operators .* leaves NonMaxSuppression to the host CPU; set allow_host"
    ):
        load(gpu("cuda", CUDA))
    executor = load(gpu("cuda", CUDA), allow_host_operators=True)
    assert runtime.sessions[-1]["providers"] == [(CUDA, {"device_id": "1", "use_tf32": "0"}), CPU]
    assert "session.disable_cpu_ep_fallback" not in runtime.sessions[-1]["entries"]
    offload = executor.offload()
    assert offload is not None
    assert (offload.device_operators, offload.host_operators, offload.host_types) == (1, 1, ("NonMaxSuppression",))


def test_what_tensorrt_leaves_to_cuda_is_on_the_same_gpu_and_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runtime = fake(monkeypatch, tmp_path, {TENSORRT: ["Conv", "Relu"], CUDA: ["NonZero"]})
    executor = load(gpu("tensorrt", TENSORRT), provider_options={"trt_fp16_enable": "0"})
    assert runtime.sessions[0]["providers"] == [
        (TENSORRT, {"device_id": "1", "trt_fp16_enable": "0"}),
        (CUDA, {"device_id": "1", "use_tf32": "0"}),
    ]
    offload = executor.offload()
    assert offload is not None
    assert (offload.device_operators, offload.host_operators) == (3, 0)
    assert executor.notes() | {} == {
        "providers": f"{TENSORRT}, {CUDA}",
        f"operators on {TENSORRT}": "2",
        f"operators on {CUDA}": "1",
        "io binding": "outputs on cuda",
    }


def test_a_figure_of_cuda_is_not_tensorrts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake(monkeypatch, tmp_path, {CUDA: ["Conv", "Relu"]})
    with pytest.raises(Unsupported, match=f"{TENSORRT} registers and runs none of the 2 operators of this model: {CUDA} would"):
        load(gpu("tensorrt", TENSORRT))


def test_a_provider_whose_library_does_not_load_is_an_error_in_the_loaders_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """ONNX Runtime itself writes a line into its log and opens the session on the CPU."""
    fake(monkeypatch, tmp_path, {CPU: ["MatMul"]}, missing=(CUDA,))
    (tmp_path / "capi").mkdir()
    with pytest.raises(RuntimeError, match=f"without {CUDA}: its library is not part of this build"):
        load(gpu("cuda", CUDA), allow_host_operators=True)
    for name in ("shared", "cuda"):
        (tmp_path / "capi" / f"libonnxruntime_providers_{name}.so").write_text("no library")
    for options in ({}, {"allow_host_operators": True}):
        with pytest.raises(RuntimeError, match=rf"without {CUDA}: .*libonnxruntime_providers_shared.so: .*; install what"):
            load(gpu("cuda", CUDA), **options)


def test_outputs_are_bound_on_the_gpu_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runtime = fake(monkeypatch, tmp_path, {CUDA: ["Mul"]})
    x = np.ones((1, 2), np.float32)
    bound, plain = load(gpu("cuda", CUDA)), load(gpu("cuda", CUDA), io_binding=False)
    for executor in (bound, plain, bound):
        np.testing.assert_array_equal(executor.execute({"x": x})["y"], [[2, 2]])
    assert [binding.places for binding in runtime.bindings] == [[("y", "cuda", 1)]]


# -- a real GPU ---------------------------------------------------------------------------------------------------------


def real_gpu() -> Device:
    seen = look_for_gpus()
    if not seen.gpus:
        pytest.skip(f"needs a GPU: {seen.reason} on this machine")
    found = OnnxRuntimeBackend().probe()
    if "cuda:0" not in {device.name for device in found.devices}:
        pytest.skip(f"needs onnxruntime-gpu: the onnxruntime {found.versions['onnxruntime']} here has no {CUDA}")
    return next(device for device in found.devices if device.name == "cuda:0")


@pytest.mark.parametrize("bound", [False, True])
def test_a_real_gpu_computes_what_numpy_does(tmp_path: Path, bound: bool) -> None:
    device = real_gpu()
    weight = np.random.default_rng(1).standard_normal((64, 32)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Relu", ["z"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 32])],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    options = SessionOptions(io_binding=bound, provider_options={"use_tf32": "0"})
    executor = OnnxRuntimeBackend().load(Artefact(tmp_path / "m.onnx", "onnx"), device, options)
    offload = executor.offload()
    assert offload is None or (offload.device_operators > 0 and offload.host_operators == 0)
    kept = []
    for rows in (1, 4, 4, 1):
        x = np.random.default_rng(rows).standard_normal((rows, 64)).astype(np.float32)
        kept.append((executor.execute({"x": x})["y"], np.maximum(x @ weight, 0)))
    for seen, expected in kept:
        np.testing.assert_allclose(seen, expected, rtol=1e-4, atol=1e-4)
    executor.close()
