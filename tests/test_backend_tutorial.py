"""What the tutorial of backends says is so: its blocks make a plug-in that passes every check, its commands parse.

The SDK of the tutorial is a fake with the traps the text warns of: one buffer for all synchronous runs, callbacks with views
that are gone when they return, a queue that refuses what it cannot hold, readings below 0 for "unknown". It proves that what
is shown works by the contract, and nothing about any real SDK.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tomllib
import typer.main
from onnx import TensorProto, helper

from npubench.cli import app
from npubench.contract import Artefact, Device, Model, Rung, TensorSpec, Unsupported, WrongArtefact, parse_options
from npubench.measure.artefacts import compile_cached, ready_artefact
from npubench.measure.binding import bind, from_executor, to_executor
from npubench.measure.plugin import load_backend, probe
from npubench.plan.decide import resolve_targets, wishes
from npubench.plan.suite import HostFile, SuiteFile, parse_file
from npubench.plan.workload import workload_names
from npubench.testing.conformance.checks import CHECKS

ROOT = Path(__file__).parents[1]
ENGLISH, KOREAN = "backends/README.md", "backends/README.ko.md"
DOCUMENTS = [ENGLISH, KOREAN]
NAME, ENTRY = "acme-npu", "npubench_acme_npu:AcmeNpuBackend"

SDK = '''
"""Stands for a vendor's SDK: it computes what the ONNX file says, by numpy, with the manners of a real runtime."""

import json
import os
import queue as queues
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from npubench.testing.graph import read_graph

__version__ = "2.1.0"


class CompileError(Exception):
    pass


class FormatError(Exception):
    pass


def chips():
    return json.loads(os.environ.get("ACME_CHIPS", '["A1"]'))


def compile(source, path, chip, cores, calibration, host_fallback):
    graph = read_graph(Path(source))
    where = [(node.operator, "host" if node.operator == "Identity" else "npu") for node in graph.nodes]
    refused = sorted({operator for operator, place in where if place == "host"})
    if refused and not host_fallback:
        raise CompileError(f"E31: {', '.join(refused)} has no kernel on {chip}")
    scales = {name: float(np.abs(values).max()) / 255 for name, values in calibration.items()}
    head = {"chip": chip, "compiler": __version__, "cores": cores, "layers": where, "scales": scales}
    Path(path).write_bytes(b"ACME " + json.dumps(head).encode() + b"\\n" + Path(source).read_bytes())


def inspect(path):
    data = Path(path).read_bytes()
    if not data.startswith(b"ACME "):
        raise FormatError("no ACME header")
    return SimpleNamespace(**json.loads(data.partition(b"\\n")[0][5:]))


class Model:
    max_batch = 8

    def __init__(self, path, card, queue):
        self._head = inspect(path)
        with tempfile.NamedTemporaryFile() as graph:
            graph.write(Path(path).read_bytes().partition(b"\\n")[2])
            graph.flush()
            self._graph = read_graph(Path(graph.name))
        self._buffers, self._lock = {}, threading.Lock()
        self._depth, self._taken = queue, 0
        self._work = queues.SimpleQueue()
        self._runs = 0
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(2)]
        for thread in self._threads:
            thread.start()

    def inputs(self):
        return [self._tensor(spec, self._head.scales.get(spec.name)) for spec in self._graph.inputs]

    def outputs(self):
        return [self._tensor(spec, None) for spec in self._graph.outputs]

    def _tensor(self, spec, scale):
        shape, layout = spec.shape[1:], ""
        if len(shape) == 3:
            shape, layout = (*shape[1:], shape[0]), "NHWC"
        dtype = "uint8" if scale else spec.dtype
        return SimpleNamespace(name=spec.name, dtype=dtype, shape=shape, layout=layout, scale=scale, zero_point=0)

    def count_layers(self):
        runs, self._runs = self._runs, 0
        places = {"npu": "device", "host": "host"}
        return [
            SimpleNamespace(name=f"{operator}-{n}", operator=operator, microseconds=7 * runs, calls=runs, place=places[where])
            for n, (operator, where) in enumerate(self._head.layers)
        ]

    def _compute(self, arrays):
        self._runs += 1
        feeds = {}
        for spec, values in zip(self._graph.inputs, arrays, strict=True):
            scale = self._head.scales.get(spec.name)
            values = values.astype(np.float32) * np.float32(scale) if scale else values
            feeds[spec.name] = np.moveaxis(values, -1, 1) if values.ndim == 4 else values
        found = self._graph.compute(feeds)
        return [np.moveaxis(v, 1, -1) if v.ndim == 4 else v for v in (found[spec.name] for spec in self._graph.outputs)]

    def run(self, arrays):
        fresh = self._compute(arrays)
        for index, values in enumerate(fresh):
            buffer = self._buffers.setdefault((index, values.shape), np.empty(values.shape, values.dtype))
            buffer[...] = values
            fresh[index] = buffer[...]
        time.sleep(0.0002)  # another thread's run may write meanwhile
        return fresh

    def run_async(self, arrays, callback):
        with self._lock:
            if self._taken >= self._depth:
                raise RuntimeError("acme: the queue is full")
            self._taken += 1
        self._work.put((arrays, callback))

    def _serve(self):
        while (item := self._work.get()) is not None:
            arrays, callback = item
            views = self._compute(arrays)
            with self._lock:
                self._taken -= 1
            callback(views, None)
            for view in views:
                view[...] = 77  # the buffer is used again

    def layers(self):
        return [tuple(layer) for layer in self._head.layers]

    def firmware(self):
        return "1.4"

    def close(self):
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join()
        self._threads = []


class Meter:
    def __init__(self, card):
        pass

    def watts(self):
        return float(os.environ.get("ACME_WATTS", "21.5"))
'''

#: The driver is a kernel module, which a test cannot load: what asks for it is told that it is there.
DRIVER = """
import npubench.contract

npubench.contract.driver_loaded = lambda modules=(), device_files=(): modules == ["acme"]
"""


def read(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document: str, language: str) -> list[str]:
    """Return a document's code blocks of one language; what continues a class keeps its indent."""
    return re.findall(rf"^```{language}\n(.*?)^```$", read(document), re.MULTILINE | re.DOTALL)


def table(document: str, head: str) -> list[list[str]]:
    """Return the rows of the table whose head row begins with ``head``, as cells without backticks."""
    matched = re.search(rf"^\| {re.escape(head)} \|.*\n\|[-| ]+\|\n((?:\|.*\n)+)", read(document), re.MULTILINE)
    assert matched, f"{document} has no table that begins with '{head}'"
    return [[cell.strip().replace("`", "") for cell in row.strip("|").split("|")] for row in matched[1].splitlines()]


@pytest.mark.parametrize("language", ["python", "toml", "sh"])
def test_both_languages_show_the_same_code(language: str) -> None:
    assert blocks(ENGLISH, language) == blocks(KOREAN, language)
    assert blocks(ENGLISH, language)


# -- the plug-in that the blocks make ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH: the tutorial's plug-in with its entry point, and the SDK it is written for."""
    folder = tmp_path_factory.mktemp("tutorial")
    package = folder / "npubench_acme_npu"
    package.mkdir()
    (package / "__init__.py").write_text("\n".join(blocks(ENGLISH, "python")), encoding="utf-8")
    (folder / "acme_sdk.py").write_text(SDK)
    (folder / "sitecustomize.py").write_text(DRIVER)
    info = folder / "npubench_acme_npu-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: npubench-acme-npu\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[npubench.backends]\n{NAME} = {ENTRY}\n")
    return folder


@pytest.fixture
def plugin(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The plug-in in this process, with its SDK and its driver."""
    monkeypatch.syspath_prepend(str(site))
    module = importlib.import_module("npubench_acme_npu")
    monkeypatch.setattr(module, "driver_loaded", lambda **asked: True)
    yield module
    for name in ("npubench_acme_npu", "acme_sdk"):
        sys.modules.pop(name, None)


@pytest.fixture
def a1() -> Device:
    return Device("npu:0", kind="A1")


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Model]:
    def make(operator: str = "Relu", precision: str = "fp32") -> Model:
        """One operator over images [n, 3, 2, 4] (NCHW), as float32, with calibration samples up to 25.5."""
        sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, 2, 4]) for name in ("x", "y")]
        graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"])], "g", sides[:1], sides[1:])
        path = tmp_path / f"{operator}.onnx"
        path.write_bytes(helper.make_model(graph).SerializeToString())
        np.save(tmp_path / "x.npy", np.full((2, 3, 2, 4), 25.5, np.float32))
        x, y = (TensorSpec(name, "float32", (None, 3, 2, 4), "NCHW") for name in ("x", "y"))
        return Model(path, "sha256:1", "images", precision, (x,), (y,), {"x": tmp_path / "x.npy"}, "sha256:2")

    return make


def check(site: Path, folder: Path, **environment: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Run ``npubench check`` on what the blocks make; returns its exit code, and what each check found by name."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NPUBENCH_", "XDG_"))}
    own = {"PYTHONPATH": str(site), "NPUBENCH_CACHE": str(folder / "cache"), "TMPDIR": str(folder)}
    command = [sys.executable, "-m", "npubench", "check", NAME, "--queries", "500", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**kept, **own, **environment}, timeout=300)
    return done.returncode, {each["name"]: each for each in json.loads(done.stdout)["checks"]}


def test_what_the_blocks_make_passes_every_check(site: Path, tmp_path: Path) -> None:
    code, found = check(site, tmp_path)
    left = {name: each["seen"] for name, each in found.items() if each["status"] not in ("passed", "noted")}
    assert left == {"sensors/monotone": "it has no energy counter", "sensors/power-limit": "it shows no power limit"}
    assert set(found) == {check.name for check in CHECKS}
    assert code == 0


def test_without_a_card_it_is_checked_as_far_as_can_be_seen(site: Path, tmp_path: Path) -> None:
    code, found = check(site, tmp_path, ACME_CHIPS="[]")
    assert {each["status"] for each in found.values()} == {"passed", "skipped"}
    assert found["identity/ladder"]["status"] == "passed"
    assert "the driver is loaded and lists no card" in found["answers/truth"]["seen"]
    assert code == 0


@pytest.mark.parametrize(
    ("rung", "change"),
    [
        (Rung.NOT_INSTALLED, lambda module, patch: patch.setattr(module, "find_spec", lambda name: None)),
        (Rung.SDK_BROKEN, lambda module, patch: patch.setattr(module, "import_module", _broken)),
        (Rung.DRIVER_MISSING, lambda module, patch: patch.setattr(module, "driver_loaded", lambda **asked: False)),
        (Rung.NO_DEVICE, lambda module, patch: patch.setenv("ACME_CHIPS", "[]")),
        (Rung.READY, lambda module, patch: patch.setenv("ACME_CHIPS", '["A1", "A1"]')),
    ],
    ids=lambda value: value.word if isinstance(value, Rung) else "",
)
def test_every_rung_is_reached_with_reason_and_advice(
    plugin: ModuleType, monkeypatch: pytest.MonkeyPatch, rung: Rung, change: Callable[[ModuleType, Any], None]
) -> None:
    change(plugin, monkeypatch)
    found = probe(NAME, load_backend(NAME, ENTRY))
    assert found.rung is rung
    assert bool(found.reason) == bool(found.advice) == (rung < Rung.READY)
    assert [device.name for device in found.devices] == (["npu:0", "npu:1"] if rung is Rung.READY else [])


def _broken(name: str) -> ModuleType:
    raise OSError("libacme.so.2: cannot open shared object file")


def test_a_quantising_compiler_gets_the_samples_and_the_harness_does_the_rest(
    plugin: ModuleType, a1: Device, make_model: Callable[..., Model], tmp_path: Path
) -> None:
    """Layout and quantisation as the section on tensors has them: NCHW floats in, NHWC uint8 on the device."""
    backend, model = load_backend(NAME, ENTRY), make_model(precision="vendor")
    options = parse_options(plugin.AcmeNpuOptions, {})
    artefact = compile_cached(backend, NAME, model, a1, options, tmp_path / "cache").artefact
    assert (artefact.format, artefact.compiler) == ("acme", "acme_sdk 2.1.0")
    with backend.load(artefact, a1, options) as executor:
        (x,) = bind(model.inputs, executor.inputs, "input")
        (y,) = bind(model.outputs, executor.outputs, "output")
        assert (x.executor.layout, x.executor.dtype, x.exclusions) == ("NHWC", "uint8", ("host-transpose", "host-quantise"))
        values = np.arange(48, dtype=np.float32).reshape(2, 3, 2, 4) / 2
        answer = from_executor(executor.execute({"x": to_executor(values, x)})["y"], y)
    assert np.allclose(answer, values, atol=1e-5)


def test_what_the_compiler_refuses_is_unsupported_until_the_user_allows_the_host(
    plugin: ModuleType, a1: Device, make_model: Callable[..., Model], tmp_path: Path
) -> None:
    backend, model = load_backend(NAME, ENTRY), make_model("Identity")
    with pytest.raises(Unsupported, match="E31: Identity has no kernel on A1"):
        compile_cached(backend, NAME, model, a1, parse_options(plugin.AcmeNpuOptions, {}), tmp_path / "cache")
    options = parse_options(plugin.AcmeNpuOptions, {"allow_host_operators": True})
    artefact = compile_cached(backend, NAME, model, a1, options, tmp_path / "cache").artefact
    with backend.load(artefact, a1, options) as executor:
        offload = executor.offload()
    assert offload is not None
    assert (offload.device_operators, offload.host_operators, offload.host_types) == (0, 1, ("Identity",))


def test_a_file_of_another_chip_or_compiler_or_of_nobody_is_a_wrong_artefact(
    plugin: ModuleType, a1: Device, make_model: Callable[..., Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, model, options = load_backend(NAME, ENTRY), make_model(), plugin.AcmeNpuOptions()
    artefact: Artefact = backend.compile(model, a1, options, tmp_path)
    with pytest.raises(WrongArtefact, match=r"made for A1, and npu:0 is A2"):
        backend.load(artefact, Device("npu:0", kind="A2"), options)
    with pytest.raises(WrongArtefact, match=r"hand in an \.acme file"):
        backend.load(ready_artefact(model.path).artefact, a1, options)
    monkeypatch.setattr("acme_sdk.__version__", "3.0.0")
    with pytest.raises(WrongArtefact, match=r"made by compiler 2.1.0, and acme_sdk 3.0.0 is here"):
        backend.load(artefact, a1, options)


def test_a_profile_counts_the_requests_and_not_the_first_slow_one(
    plugin: ModuleType, a1: Device, make_model: Callable[..., Model], tmp_path: Path
) -> None:
    backend, model, options = load_backend(NAME, ENTRY), make_model(), plugin.AcmeNpuOptions()
    artefact = backend.compile(model, a1, options, tmp_path)
    (found,) = backend.profile(artefact, a1, options, [{"x": np.zeros((1, 2, 4, 3), np.float32)}] * 5) or ()
    assert (found.kind, found.calls, found.nanoseconds, found.where) == ("Relu", 5, 35_000, "device")


def test_a_reading_that_is_not_there_is_none(plugin: ModuleType, a1: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    (power,) = load_backend(NAME, ENTRY).sensors(a1)
    assert power.read() == 21_500
    monkeypatch.setenv("ACME_WATTS", "-1")
    assert power.read() is None


# -- commands and files -----------------------------------------------------------------------------------------------


def commands() -> list[list[str]]:
    return [shlex.split(line, comments=True) for text in blocks(ENGLISH, "sh") for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_line_is_a_real_one(words: list[str]) -> None:
    program, *arguments = words
    if program != "npubench":
        assert program in ("cd", "pip", "pytest", "python3", "/opt/acme/bin/python")
        return
    command: Any = typer.main.get_command(app)
    assert arguments[0] in command.commands
    verb = command.commands[arguments[0]]
    given = verb.make_context(arguments[0], arguments[1:]).params
    if arguments[0] == "check" and given.get("only"):
        assert {*given["only"]} <= {check.name for check in CHECKS}


def named(name: str) -> str:
    (text,) = [text for text in blocks(ENGLISH, "toml") if text.startswith(f"# {name}\n")]
    return text


def test_the_entry_point_is_the_class_that_the_blocks_make(plugin: ModuleType) -> None:
    project = tomllib.loads(named("pyproject.toml"))["project"]
    assert project["entry-points"]["npubench.backends"] == {NAME: ENTRY}
    assert project["name"] == f"npubench-{NAME}"
    assert plugin.AcmeNpuBackend


def test_the_suite_and_the_host_file_are_valid_and_fit_the_plug_in(plugin: ModuleType, tmp_path: Path) -> None:
    for name in ("suite.toml", "testbed.toml"):
        (tmp_path / name).write_text(named(name), encoding="utf-8")
    suite, host = parse_file(tmp_path / "suite.toml", SuiteFile), parse_file(tmp_path / "testbed.toml", HostFile)
    targets = resolve_targets(suite, host)
    assert wishes(suite, host, targets, workload_names(), tmp_path / "suite.toml")
    for target in suite.target.values():
        assert target.backend == NAME
        parse_options(plugin.AcmeNpuOptions, target.options)
    assert set(host.target) <= set(suite.target)


# -- tables and links -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_table_of_checks_names_every_check_of_the_kit(document: str) -> None:
    written = re.search(r"<!-- checks: .*? -->\n(.*?)<!-- /checks -->", read(document), re.DOTALL)
    assert written
    assert sorted(re.findall(r"^\| `([^`]+)` \|", written[1], re.MULTILINE)) == sorted(check.name for check in CHECKS)


@pytest.mark.parametrize(("document", "head"), [(ENGLISH, "rung"), (KOREAN, "단계")])
def test_the_table_of_rungs_has_every_rung_in_order(document: str, head: str) -> None:
    assert [row[0] for row in table(document, head)] == [rung.word for rung in Rung]


@pytest.mark.parametrize(("document", "head"), [(ENGLISH, "backend"), (KOREAN, "백엔드")])
def test_the_table_of_backends_has_every_one_that_is_here(document: str, head: str) -> None:
    projects = [tomllib.loads(path.read_text(encoding="utf-8")) for path in ROOT.glob("backends/*/pyproject.toml")]
    projects.append(tomllib.loads(read("pyproject.toml")))
    here = {name for project in projects for name in project["project"]["entry-points"].get("npubench.backends", {})}
    assert {row[0] for row in table(document, head)} == here - {"template"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", read(document))
    assert links
    for link in links:
        assert (ROOT / document).parent.joinpath(link).exists(), link
