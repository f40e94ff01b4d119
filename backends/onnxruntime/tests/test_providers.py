"""Plug-in execution providers: a published one, from finding its wheel to the record of a run on it.

``nxrt-ep-cpu`` runs on any CPU. It takes MatMul and leaves every operator of a graph with a convolution to ONNX Runtime's own
CPU provider without a word, so that what is caught here is caught of a real provider.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from npubench.contract import Device, Rung
from npubench.measure.survey import survey
from npubench_onnxruntime import plugins
from npubench_onnxruntime.devices import list_devices
from npubench_onnxruntime.plugins import VARIABLE, find_plugins

RUNTIME, WHEEL = "onnxruntime==1.31.1", "nxrt-ep-cpu==0.1.0.dev6"

#: Loads a model on the provider's device in its own process, and says what became of it.
_LOAD = """
import json, sys
from pathlib import Path
import numpy as np
from npubench.contract import Artefact
from npubench_onnxruntime import OnnxRuntimeBackend, SessionOptions

backend = OnnxRuntimeBackend()
device = next(device for device in backend.probe().devices if device.name == "cpu_ep:0")
for path, shape, options in json.loads(sys.argv[1]):
    try:
        executor = backend.load(Artefact(Path(path), "onnx"), device, SessionOptions(**options))
        account = executor.offload()
        x = np.ones(shape, np.float32)
        said = [account.device_operators, account.host_operators, list(account.host_types), executor.execute({"x": x})["y"].sum()]
    except Exception as error:
        said = [type(error).__name__, str(error)]
    print(json.dumps(said, default=float))
"""


def model(path: Path, kind: str) -> Path:
    """Write ``x`` → ``y``: a product and its Relu, the same with a Shrink (λ = 0.5) between, or a convolution and a mean."""
    ones = {
        name: numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in (("w", (8, 4)), ("k", (4, 3, 3, 3)))
    }
    make = helper.make_node
    nodes, shape, used = {
        "product": ([make("MatMul", ["x", "w"], ["a"]), make("Relu", ["a"], ["y"])], [1, 8], "w"),
        "mixed": ([make("MatMul", ["x", "w"], ["a"]), make("Shrink", ["a"], ["b"]), make("Relu", ["b"], ["y"])], [1, 8], "w"),
        "convolution": ([make("Conv", ["x", "k"], ["a"]), make("GlobalAveragePool", ["a"], ["y"])], [1, 3, 8, 8], "k"),
    }[kind]
    output = [1, 4, 1, 1] if kind == "convolution" else [1, 4]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
        [ones[used]],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def python(vendor_python: Callable[..., Path]) -> Path:
    """The interpreter of an environment with ONNX Runtime and the provider's wheel."""
    return vendor_python("onnxruntime", RUNTIME, WHEEL)


@pytest.fixture(scope="module")
def device(python: Path) -> Device:
    """The provider's device, as the plug-in lists it there."""
    found = survey("onnxruntime", str(python)).availability
    assert found.rung is Rung.READY, found.reason
    return next(device for device in found.devices if device.name == "cpu_ep:0")


@pytest.fixture(scope="module")
def library(device: Device) -> Path:
    return Path(device.details["library"])


def test_a_wheel_is_found_and_its_device_named(python: Path, device: Device) -> None:
    assert device.kind.startswith("cpu_ep on ")
    assert device.details["provider vendor"] == "nxrt"
    assert device.details["hardware"].endswith("CPU")
    assert device.details["library digest"].startswith("sha256:")
    found = survey("onnxruntime", str(python)).availability
    assert found.versions["nxrt-ep-cpu"] == "0.1.0.dev6"
    assert found.advice == ""
    assert {"cpu", "cpu_ep:0"} <= {each.name for each in found.devices}


def test_a_library_that_is_named_takes_the_place_of_wheels(python: Path, library: Path, tmp_path: Path) -> None:
    broken = tmp_path / "libbroken.so"
    broken.write_text("no library")
    named = os.pathsep.join((f"mine={library}", str(broken), str(tmp_path / "none.so")))
    found = survey("onnxruntime", str(python), {VARIABLE: named}).availability
    assert [each.details.get("registration") for each in found.devices] == [None, "mine"]
    assert "nxrt-ep-cpu" not in found.versions
    assert f"{broken}: onnxruntime 1.31.1 refuses to register it" in found.advice
    assert f"{tmp_path / 'none.so'}: onnxruntime 1.31.1 refuses to register it: there is no such file" in found.advice
    without = survey("onnxruntime", str(python), {VARIABLE: ""}).availability
    assert [each.name for each in without.devices] == ["cpu"]


def test_a_provider_that_runs_no_operator_is_caught(python: Path, device: Device, tmp_path: Path) -> None:
    product, mixed, convolution = (str(model(tmp_path / f"{kind}.onnx", kind)) for kind in ("product", "mixed", "convolution"))
    flat, image, allowed = [1, 8], [1, 3, 8, 8], {"allow_host_operators": True}
    cases = [
        (product, flat, {}),
        (product, flat, {"io_binding": True}),
        (mixed, flat, {}),
        (mixed, flat, allowed),
        (convolution, image, {}),
        (convolution, image, allowed),
    ]
    done = subprocess.run([python, "-c", _LOAD, json.dumps(cases)], capture_output=True, text=True, check=True)
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    nothing = [
        "Unsupported",
        "cpu_ep registers and runs none of the 2 operators of this model: CPUExecutionProvider would run them, "
        "and the figures would be of CPUExecutionProvider",
    ]
    assert said == [
        [2, 0, [], 32.0],
        [2, 0, [], 32.0],
        [
            "Unsupported",
            "cpu_ep runs 2 of the 3 operators of this model and leaves Shrink to the host CPU; "
            "set allow_host_operators = true to measure that, labelled, never ranked",
        ],
        [2, 1, ["Shrink"], 32.0],
        nothing,
        nothing,
    ]


def reshaped(path: Path, weight: np.ndarray) -> Path:
    """Write the toy's model with Reshape in place of Flatten, which the provider does not know."""
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["image", "shape"], ["flat"]), helper.make_node("MatMul", ["flat", "weight"], ["scores"])],
        "toy",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 8, 6])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 5])],
        [numpy_helper.from_array(np.array([-1, 144], np.int64), "shape"), numpy_helper.from_array(weight, "weight")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_a_suite_runs_on_it_in_its_own_environment(
    place: Callable[[str], Any], toy: Any, python: Path, device: Device, tmp_path: Path
) -> None:
    """As it comes, the toy's model is left to the CPU altogether: no figure. As the provider likes it, it is measured."""
    here = place("provider")
    own = {"backend": "onnxruntime", "device": "cpu_ep:0", "python": str(python)}
    targets = {"own": own | {"artefacts": {"toy": str(reshaped(tmp_path / "m.onnx", toy.weight))}}, "caught": own}
    done = here("run", here.suite(targets, [{"targets": list(targets), "workloads": ["toy"]}]), "--store", "store")
    records = {record["spec"]["target"]["name"]: record for record in here.records()}
    good, caught = records["own"], records["caught"]
    # A busy machine may make a run of a second invalid.
    assert good["status"] in ("ok", "invalid"), done.err
    assert good["artefact"]["ready"] is True
    assert [good["artefact"][key] for key in ("device_operators", "host_operators", "offload_source")] == [
        2,
        0,
        "ORT graph assignment",
    ]
    assert good["system"]["device"]["library digest"] == device.details["library digest"]
    assert caught["status"] == "skipped"
    assert "cpu_ep registers and runs none of the 2 operators of this model" in caught["reason"]


def test_a_providers_device_conforms(place: Callable[[str], Any], python: Path) -> None:
    here = place("conforms")
    done = here("check", "onnxruntime", "--python", python, "--device", "cpu_ep:0", "--queries", 500, "--json")
    failed = [found for found in json.loads(done.out)["checks"] if found["status"] == "failed"]
    assert (done.code, failed) == (0, [])


def test_ones_own_model_is_measured_on_any_providers_library(place: Callable[[str], Any], library: Path, tmp_path: Path) -> None:
    """With the onnxruntime that npubench itself has, which may be newer than the one the provider was published with."""
    here = place("library")
    done = here("run", "--ep-library", library, "--store", "store", "--model", model(tmp_path / "product.onnx", "product"))
    seen = sorted((record["spec"]["target"]["name"], record["status"] in ("ok", "invalid")) for record in here.records())
    assert seen == [("cpu-all", True), ("cpu-all", True), ("cpu_ep-0", True), ("cpu_ep-0", True)], done.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--model", "m.onnx", "--ep-library", "none.so"), 2, "none.so: no such file"),
        (("--model", "m.onnx", "--ep-library", "m.onnx"), 3, "refuses to register it"),
        (("demo", "--ep-library", "m.onnx"), 2, "goes with --model"),
    ],
)
def test_a_library_that_cannot_be_used_is_said_at_once(
    place: Callable[[str], Any], arguments: tuple[str, ...], code: int, said: str
) -> None:
    here = place("wrong")
    model(here.folder / "m.onnx", "product")
    done = here("run", *arguments)
    assert (done.code, said in " ".join(done.err.split())) == (code, True), done.err


# -- what a wheel may be like, with a stand-in for ONNX Runtime -----------------------------------------------------------


class Registry:
    """The part of ONNX Runtime that takes libraries in. One named ``idle`` brings no device."""

    __version__ = "1.31.1"

    def __init__(self) -> None:
        self.registered: list[str] = []

    def get_available_providers(self) -> list[str]:
        return ["CPUExecutionProvider", *self.registered]

    def get_device(self) -> str:
        return "CPU"

    def register_execution_provider_library(self, name: str, path: str) -> None:
        self.registered.append(name)

    def get_ep_devices(self) -> list[Any]:
        hardware = [
            SimpleNamespace(type=SimpleNamespace(name=kind), vendor="Acme", metadata={"slot": "3"}) for kind in ("CPU", "NPU")
        ]
        return [
            SimpleNamespace(ep_name=f"{name}ExecutionProvider", ep_vendor="Acme", ep_metadata={"version": "7"}, device=each)
            for name in self.registered
            if name != "idle"
            for each in hardware
        ]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    found = Registry()
    monkeypatch.setitem(sys.modules, "onnxruntime", found)  # type: ignore[arg-type]
    monkeypatch.setattr(plugins, "register", plugins.register.__wrapped__)
    monkeypatch.delenv(VARIABLE, raising=False)
    return found


def wheel(site: Path, distribution: str, source: str) -> None:
    """Install a module that is named like its distribution."""
    name = distribution.replace("-", "_")
    (site / f"{name}.py").write_text(source)
    info = site / f"{name}-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 2.0\n")


def test_each_wheel_is_used_or_complained_about_and_no_other_is_imported(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    library = tmp_path / "lib.so"
    library.write_bytes(b"a library")
    monkeypatch.syspath_prepend(str(tmp_path))
    path = f"return {str(library)!r}\n"
    wheel(tmp_path, "onnxruntime-ep-acme", f"def get_library_path():\n    {path}")
    wheel(tmp_path, "nxrt-ep-other", f"def library_path():\n    {path}")
    wheel(tmp_path, "onnxruntime-ep-mute", "")
    wheel(tmp_path, "onnxruntime-ep-cracked", "raise OSError('libacme.so.2: cannot open shared object file')")
    wheel(tmp_path, "onnxruntime-extensions-ep", "raise SystemExit('imported')")
    found = find_plugins(registry)
    assert [device.name for device in found.devices] == [
        "nxrt_ep_other:0",
        "nxrt_ep_other:1",
        "onnxruntime_ep_acme:0",
        "onnxruntime_ep_acme:1",
    ]
    assert found.devices[1].kind == "nxrt_ep_otherExecutionProvider on Acme NPU"
    assert found.devices[1].details["hardware slot"] == "3"
    assert found.versions["onnxruntime-ep-acme"] == "2.0"
    assert sorted(found.complaints) == [
        "onnxruntime-ep-cracked: OSError: libacme.so.2: cannot open shared object file",
        "onnxruntime-ep-mute: its module 'onnxruntime_ep_mute' has no get_library_path or library_path",
    ]


def test_a_library_without_a_device_is_told(registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "libidle.so").write_bytes(b"a library")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "libidle.so"))
    found = find_plugins(registry)
    assert found.devices == ()
    assert found.complaints == (f"{tmp_path / 'libidle.so'}: registers, and lists no device on this machine",)


def test_a_second_look_finds_the_same(registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """ONNX Runtime lists a registered provider among those it was built with, which it is not."""
    (tmp_path / "libacme.so").write_bytes(b"a library")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "libacme.so"))
    monkeypatch.setattr(plugins, "register", functools.cache(plugins.register))
    first, second = list_devices(registry), list_devices(registry)
    assert [device.name for device in first.devices] == ["cpu", "acme:0", "acme:1"]
    assert second == first


def test_an_older_onnxruntime_says_that_it_takes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/opt/lib.so")
    found = find_plugins(SimpleNamespace(__version__="1.20.0"))
    assert found.complaints == ("onnxruntime 1.20.0 takes no plug-in provider (/opt/lib.so); install onnxruntime 1.23 or newer",)
