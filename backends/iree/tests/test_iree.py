"""IREE on this CPU for real: import, compile, cache key, load, run, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from npubench.contract import (
    Artefact,
    Device,
    Executor,
    Model,
    OptionError,
    Rung,
    TensorSpec,
    Unsupported,
    WrongArtefact,
    parse_options,
)
from npubench_iree import IreeBackend, IreeOptions, devices, toolchain

pytest.importorskip("iree.compiler", reason="needs npubench-iree[compiler]")

DIGEST = "sha256:" + "0" * 64
INPUTS = (TensorSpec("x", "float32", (None, 2)), TensorSpec("b", "float32", (None, 3)))
OUTPUTS = (TensorSpec("y", "float32", (None, 3)), TensorSpec("z", "float32", (None, 3)))


def model_file(path: Path, operator: str = "Relu", batch: int | str = "n", domain: str = "") -> Path:
    """z = x @ ones, y = relu(z) + b."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["z"]),
            helper.make_node(operator, ["z"], ["r"], domain=domain),
            helper.make_node("Add", ["r", "b"], ["y"]),
        ],
        "a graph",
        [value("x", TensorProto.FLOAT, [batch, 2]), value("b", TensorProto.FLOAT, [batch, 3])],
        [value("y", TensorProto.FLOAT, [batch, 3]), value("z", TensorProto.FLOAT, [batch, 3])],
        [helper.make_tensor("w", TensorProto.FLOAT, [2, 3], [1] * 6)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.acme", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def options(**values: Any) -> IreeOptions:
    return parse_options(IreeOptions, values)


def compiled(path: Path, work: Path, **values: Any) -> Artefact:
    work.mkdir()
    model = Model(path, DIGEST, "toy", "fp32", INPUTS, OUTPUTS)
    return IreeBackend().compile(model, devices.cpu(), options(**values), work)


def load(artefact: Artefact, device: Device | None = None, **values: Any) -> Executor:
    return IreeBackend().load(artefact, device or devices.cpu(), options(**values))


def request(count: int) -> dict[str, Any]:
    x = np.arange(-3, 2 * count - 3, dtype=np.float32).reshape(count, 2)
    b = np.arange(3 * count, dtype=np.float32).reshape(count, 3)
    return {"x": x, "b": b}


def expect(outputs: Any, count: int) -> None:
    given = request(count)
    z = np.repeat(given["x"].sum(axis=1, keepdims=True), 3, axis=1)
    np.testing.assert_array_equal(outputs["z"], z)
    np.testing.assert_array_equal(outputs["y"], np.maximum(z, 0) + given["b"])


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    folder = tmp_path_factory.mktemp("iree")
    return compiled(model_file(folder / "m.onnx"), folder / "work", batch=3)


def damaged(artefact: Artefact, to: Path, **changes: Any) -> Artefact:
    """Return a copy of an artefact with other words in its manifest."""
    to.mkdir()
    (to / "model.vmfb").write_bytes((artefact.path / "model.vmfb").read_bytes())
    said = json.loads((artefact.path / "model.json").read_text())
    (to / "model.json").write_text(json.dumps({**said, **changes}))
    return Artefact(to, "folder", ready=True)


# -- what it says of itself -------------------------------------------------------------------------------------------


def test_it_is_ready_with_the_cpu() -> None:
    found = IreeBackend().probe()
    assert found.rung is Rung.READY
    assert [device.name for device in found.devices] == ["cpu"]
    assert set(found.versions) == {"iree-base-runtime", "iree-base-compiler"}


@pytest.mark.parametrize(
    ("error", "rung"),
    [
        (ModuleNotFoundError("No module named 'iree'", name="iree"), Rung.NOT_INSTALLED),
        (ModuleNotFoundError("No module named 'iree.runtime'", name="iree.runtime"), Rung.NOT_INSTALLED),
        (ImportError("_runtime.so: undefined symbol"), Rung.SDK_BROKEN),
    ],
)
def test_an_import_that_fails_has_its_rung(monkeypatch: pytest.MonkeyPatch, error: Exception, rung: Rung) -> None:
    def fails(name: str) -> Any:
        raise error

    monkeypatch.setattr(devices.importlib, "import_module", fails)
    found = IreeBackend().probe()
    assert found.rung is rung
    assert "npubench-iree[compiler]" in found.advice


# -- compiling --------------------------------------------------------------------------------------------------------


def test_the_artefact_is_a_module_and_what_it_is(artefact: Artefact) -> None:
    assert sorted(path.name for path in artefact.path.iterdir()) == ["model.json", "model.vmfb"]
    assert artefact.compiler.startswith("iree-compile 3.")
    assert [path.name for path in artefact.path.parent.iterdir()] == ["model"]


def test_the_same_model_makes_the_same_module_anywhere(artefact: Artefact, tmp_path: Path) -> None:
    again = compiled(model_file(tmp_path / "other.onnx"), tmp_path / "elsewhere", batch=3)
    assert (again.path / "model.vmfb").read_bytes() == (artefact.path / "model.vmfb").read_bytes()


def test_the_key_follows_what_matters_to_the_compiler() -> None:
    backend, cpu = IreeBackend(), devices.cpu()
    plain = backend.compile_key(cpu, options())
    assert devices.installed("iree-base-compiler") in plain
    assert plain == backend.compile_key(cpu, options(threads=2)) == backend.compile_key(cpu, options(driver="local-sync"))
    for other in ({"batch": 2}, {"target_cpu": "generic"}, {"flags": ["--iree-opt-level=O3"]}):
        assert backend.compile_key(cpu, options(**other)) != plain
    elsewhere = replace(cpu, details={**cpu.details, "features": "0123456789ab"})
    assert backend.compile_key(elsewhere, options()) != plain
    assert backend.compile_key(elsewhere, options(target_cpu="generic")) == backend.compile_key(
        cpu, options(target_cpu="generic")
    )


def test_a_model_that_the_importer_refuses_is_unsupported(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"importer refuses the model: .*Frobnicate"):
        compiled(model_file(tmp_path / "m.onnx", "Frobnicate"), tmp_path / "work")


def test_a_model_that_the_compiler_refuses_is_unsupported_in_its_words(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"iree-compile refuses the model: .*error: failed to legalize"):
        compiled(model_file(tmp_path / "m.onnx", "Frobnicate", domain="com.acme"), tmp_path / "work")


def test_a_flag_that_the_compiler_does_not_know_is_no_answer_on_the_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"option flags: .*no-such-flag"):
        compiled(model_file(tmp_path / "m.onnx"), tmp_path / "work", flags=["--no-such-flag"])


def test_without_a_compiler_it_says_how_to_hand_a_module_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "installed", lambda name: "")
    with pytest.raises(Unsupported, match=r"iree-base-compiler and onnx not installed.*artefacts = \{ toy = "):
        compiled(model_file(tmp_path / "m.onnx"), tmp_path / "work")


# -- loading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"iree": "1.0.0"}, "was compiled by IREE 1.0.0, the runtime here is 3"),
        ({"cpu": "riscv64 generic"}, "was compiled for the CPU 'riscv64 generic'"),
        ({"function": "another"}, "does not load it"),
        ({"inputs": 3}, "cannot be read"),
    ],
)
def test_a_module_of_another_version_or_cpu_is_refused(
    artefact: Artefact, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(WrongArtefact, match=said):
        load(damaged(artefact, tmp_path / "copy", **changes))


def test_code_for_this_cpu_alone_is_refused_on_one_with_other_features(artefact: Artefact) -> None:
    other = replace(devices.cpu(), details={**devices.cpu().details, "features": "0123456789ab"})
    with pytest.raises(WrongArtefact, match=r"here is '.*0123456789ab'"):
        load(artefact, other)


def test_a_module_without_its_manifest_and_junk_are_refused(artefact: Artefact, tmp_path: Path) -> None:
    alone = tmp_path / "alone.vmfb"
    alone.write_bytes((artefact.path / "model.vmfb").read_bytes())
    with pytest.raises(WrongArtefact, match=r"neither names nor shapes, and alone\.json beside it"):
        load(Artefact(alone, "vmfb", ready=True))
    copy = damaged(artefact, tmp_path / "copy")
    (copy.path / "model.vmfb").write_bytes(b"no module" * 100)
    with pytest.raises(WrongArtefact, match=r"IREE 3.* does not load it"):
        load(copy)


def test_a_module_with_its_manifest_beside_it_can_be_handed_in(artefact: Artefact, tmp_path: Path) -> None:
    path = damaged(artefact, tmp_path / "copy").path / "model.vmfb"
    expect(load(Artefact(path, "vmfb", ready=True)).execute(request(2)), 2)


# -- computing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", ["local-task", "local-sync"])
def test_it_computes_what_the_graph_says_up_to_its_batch(artefact: Artefact, driver: str) -> None:
    with load(artefact, driver=driver) as executor:
        assert executor.max_batch == 3
        assert tuple(executor.inputs) == INPUTS
        assert tuple(executor.outputs) == OUTPUTS
        for count in (1, 2, 3):
            expect(executor.execute(request(count)), count)
        with pytest.raises(ValueError, match=r"of shape \[4, .*; declared is float32 of shape \[1…3, "):
            executor.execute(request(4))


def test_a_fixed_batch_of_the_model_is_kept(tmp_path: Path) -> None:
    executor = load(compiled(model_file(tmp_path / "m.onnx", batch=2), tmp_path / "work", batch=5))
    assert executor.max_batch == 2
    expect(executor.execute(request(2)), 2)


def test_the_whole_graph_is_the_devices(artefact: Artefact) -> None:
    account = load(artefact).offload()
    assert account is not None
    assert (account.device_operators, account.host_operators) == (3, 0)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"batches": 1}, "did you mean 'batch'"),
        ({"batch": 0}, "below 1"),
        ({"driver": "cuda"}, "is not valid"),
        ({"driver": "local-sync", "threads": 2}, "leave threads out"),
    ],
)
def test_wrong_options_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        options(**values)


def test_the_readme_lists_every_option() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE)
    assert listed == [field.name for field in dataclasses.fields(IreeOptions)]
