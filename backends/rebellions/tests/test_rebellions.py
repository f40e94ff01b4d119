"""The plug-in against a stand-in for ``rebel`` with the quirks seen on cards. It proves calls and lifecycle, no chip."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
from npubench_rebellions import RebellionsBackend, RebellionsOptions, presence
from npubench_rebellions.compiler import _chip

CA22 = Device("rbln:0", "RBLN-CA22")
INPUT = {"name": "image", "shape": [1, 3, 8, 6], "dtype": "float32"}
OUTPUT = {"name": None, "shape": [1, 5], "dtype": "float32"}
FACTS = {
    "npu": "RBLN-CA22",
    "compiler_version": "0.12.0",
    "tensor_parallel_size": None,
    "inputs": [INPUT],
    "outputs": [OUTPUT],
}


@pytest.fixture
def rebel(fake_rebel: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Return ``rebel(**environment)``: the stand-in, imported anew with those variables."""

    def make(**environment: str) -> Any:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.syspath_prepend(fake_rebel)
        sys.modules.pop("rebel", None)
        return importlib.import_module("rebel")

    yield make
    sys.modules.pop("rebel", None)


def load(path: Path, device: Device = CA22, **options: Any) -> Executor:
    return RebellionsBackend().load(Artefact(path, "rbln", ready=True), device, parse_options(RebellionsOptions, options))


def image(toy: Any, n: int) -> dict[str, Any]:
    return {"image": toy.image[n : n + 1]}


def scores(toy: Any, n: int) -> Any:
    return toy.image[n : n + 1].reshape(1, -1) @ toy.weight


# -- how far it gets ----------------------------------------------------------------------------------------------------


def probe(monkeypatch: pytest.MonkeyPatch, path: str, loaded: bool = False, cards: tuple[str, ...] = ()) -> tuple[Rung, str, Any]:
    monkeypatch.setenv("PATH", path)
    monkeypatch.setattr(presence, "driver_loaded", lambda modules, files: loaded)
    monkeypatch.setattr(presence, "pci_cards", lambda vendor: cards)
    found = RebellionsBackend().probe()
    assert bool(found.reason) == bool(found.advice) == (found.rung < Rung.READY)
    return found.rung, found.reason, found


def test_without_the_package_it_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rung, reason, _ = probe(monkeypatch, str(tmp_path))
    assert rung is Rung.NOT_INSTALLED
    assert reason == "this interpreter has no package rebel (rebel-compiler)"


def test_a_card_without_the_package_is_told(monkeypatch: pytest.MonkeyPatch, smi: Any, npu: Any) -> None:
    """The command works where Python has no rebel: another interpreter, or another Python version."""
    rung, reason, found = probe(monkeypatch, smi([npu(0), npu(1)]))
    assert rung is Rung.NOT_INSTALLED
    assert "although rbln-smi sees 2 NPUs (RBLN-CA22)" in reason
    assert found.versions == {"driver": "3.0.0"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("raise OSError('librbln.so: cannot open shared object file')", "OSError: librbln.so"),
        ("raise RuntimeError('ABI')", "RuntimeError: ABI"),
        ("import a_module_that_is_not_there", "No module named 'a_module_that_is_not_there'"),
    ],
)
def test_a_package_that_does_not_import_is_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "rebel.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    rung, reason, _ = probe(monkeypatch, str(tmp_path))
    assert rung is Rung.SDK_BROKEN
    assert words in reason


@pytest.mark.parametrize(
    ("cards", "seen"), [((), "no card is seen on the PCI bus"), (("0000:03:00.0",), "a card at 0000:03:00.0")]
)
def test_without_a_driver_it_says_whether_a_card_is_there(
    rebel: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cards: tuple[str, ...], seen: str
) -> None:
    """The stand-in's npu_is_available answers True here, as an SDK did: nobody asks it."""
    rebel()
    rung, reason, found = probe(monkeypatch, str(tmp_path), cards=cards)
    assert rung is Rung.DRIVER_MISSING
    assert seen in reason
    assert found.versions["rebel-compiler"] == "0.12.0"


def test_a_driver_without_a_card_is_no_device(rebel: Any, monkeypatch: pytest.MonkeyPatch, smi: Any) -> None:
    rebel()
    assert probe(monkeypatch, smi([]))[0] is Rung.NO_DEVICE


def test_a_command_that_fails_is_told_with_the_rung(rebel: Any, monkeypatch: pytest.MonkeyPatch, smi: Any) -> None:
    rebel(FAKE_RBLN_NPUS="")
    rung, reason, _ = probe(monkeypatch, smi([], body="echo no daemon >&2; exit 1"), loaded=True)
    assert rung is Rung.NO_DEVICE
    assert "rbln-smi ended with code 1: no daemon" in reason


def test_cards_are_those_the_command_lists(rebel: Any, monkeypatch: pytest.MonkeyPatch, smi: Any, npu: Any) -> None:
    rebel()
    card = [npu(0, device=f"rbln{die}", name="RBLN-CA25", sid="A") for die in range(4)]
    rung, _, found = probe(monkeypatch, smi(card, driver_key="driver_version"))
    assert rung is Rung.READY
    assert [(device.name, device.kind, device.details["sid"]) for device in found.devices] == [
        (f"rbln:{die}", "RBLN-CA25", "A") for die in range(4)
    ]
    assert found.versions == {"driver": "3.0.0", "rebel-compiler": "0.12.0"}


def test_without_the_command_the_runtime_counts(rebel: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rebel(FAKE_RBLN_NPUS="RBLN-CA22,RBLN-CA12")
    rung, _, found = probe(monkeypatch, str(tmp_path), loaded=True)
    assert rung is Rung.READY
    assert [(device.name, device.kind) for device in found.devices] == [("rbln:0", "RBLN-CA22"), ("rbln:1", "RBLN-CA12")]


# -- artefacts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "options", "words"),
    [
        ({"npu": "RBLN-CA12"}, {}, "compiled for RBLN-CA12, and rbln:0 is an RBLN-CA22"),
        ({"compiler_version": "0.10.3"}, {}, "compiled by rebel-compiler 0.10.3, and 0.12.0 is here"),
        ({"tensor_parallel_size": 4}, {}, "for 4 NPUs together, and the target gives it 1"),
        ({}, {"num_devices": 2}, "for 1 NPUs together, and the target gives it 2"),
        ({"inputs": [INPUT | {"shape": [4, 3, 8, 6]}]}, {"asynchronous": True}, "its batch is 4"),
        ({"inputs": []}, {}, "names no input"),
    ],
)
def test_an_artefact_for_something_else_is_refused(
    rebel: Any, toy: Any, tmp_path: Path, facts: dict[str, Any], options: dict[str, Any], words: str
) -> None:
    rebel()
    path = toy.artefact(tmp_path / "m.rbln", **{**FACTS, **facts})
    with pytest.raises(WrongArtefact, match=words):
        load(path, **options)


def test_no_file_and_no_artefact_are_told_apart(rebel: Any, tmp_path: Path) -> None:
    rebel()
    with pytest.raises(WrongArtefact, match="there is no such file"):
        load(tmp_path / "none.rbln")
    junk = tmp_path / "junk.rbln"
    junk.write_bytes(b"junk")
    with pytest.raises(WrongArtefact, match=r"cannot read it as an \.rbln file: RuntimeError: INIT_INVALID_MODEL_FORMAT"):
        load(junk)


def test_another_patch_release_is_taken_and_another_release_on_request(rebel: Any, toy: Any, tmp_path: Path) -> None:
    rebel()
    load(toy.artefact(tmp_path / "a.rbln", **{**FACTS, "compiler_version": "0.12.9"})).close()
    load(toy.artefact(tmp_path / "b.rbln", **{**FACTS, "compiler_version": "0.10.3"}), any_compiler=True).close()


@pytest.mark.parametrize("shape", ["mapping", "object"])
def test_both_answers_of_inspect_are_read(rebel: Any, toy: Any, tmp_path: Path, shape: str) -> None:
    rebel(FAKE_RBLN_INSPECT=shape)
    with load(toy.artefact(tmp_path / "m.rbln", **FACTS)) as executor:
        assert list(executor.inputs) == [TensorSpec("image", "float32", (1, 3, 8, 6))]
        assert list(executor.outputs) == [TensorSpec("output0", "float32", (1, 5))]
        assert executor.notes()["compiler"] == "0.12.0"


# -- running ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asynchronous", [False, True])
def test_answers_are_right_and_the_callers_own(rebel: Any, toy: Any, tmp_path: Path, asynchronous: bool) -> None:
    """The stand-in writes every answer into one buffer: an array that is not copied changes afterwards."""
    rebel()
    with load(toy.artefact(tmp_path / "m.rbln", **FACTS), asynchronous=asynchronous) as executor:
        answers = [executor.execute(image(toy, n))["output0"] for n in range(4)]
        for n, answer in enumerate(answers):
            np.testing.assert_allclose(answer, scores(toy, n), rtol=1e-5)
        assert executor.offload() is None


def test_many_in_flight_each_get_their_own_answer(rebel: Any, toy: Any, tmp_path: Path) -> None:
    """The stand-in lets every second request be overtaken, on a loop of its own."""
    rebel()
    executor = load(toy.artefact(tmp_path / "m.rbln", **FACTS), asynchronous=True, in_flight=8, parallel=2)
    assert executor.max_in_flight == 8
    order: list[int] = []
    answers: dict[int, Any] = {}
    threads: set[str] = set()
    ended = threading.Event()

    def done(n: int) -> Callable[[Any, BaseException | None], None]:
        def take(outputs: Any, error: BaseException | None) -> None:
            order.append(n)
            answers[n] = error or outputs["output0"]
            threads.add(threading.current_thread().name)
            if len(order) == 8:
                ended.set()

        return take

    for n in range(8):
        executor.submit(image(toy, n), done(n))
    assert ended.wait(10)
    executor.close()
    assert sorted(order) == list(range(8))
    assert order != sorted(order)
    for n in range(8):
        np.testing.assert_allclose(answers[n], scores(toy, n), rtol=1e-5)
    assert threads == {"rbln-loop"}


def test_a_request_that_fails_ends_with_the_vendors_words(rebel: Any, toy: Any, tmp_path: Path) -> None:
    sdk = rebel()

    async def fails(self: Any, *args: Any) -> Any:
        raise sdk.RBLNRuntimeError("SYS_ERR_CMD_TIMEOUT")

    sdk.AsyncRuntime.async_run = fails
    path = toy.artefact(tmp_path / "m.rbln", **FACTS)
    with load(path, asynchronous=True) as executor, pytest.raises(sdk.RBLNRuntimeError, match="SYS_ERR_CMD_TIMEOUT"):
        executor.execute(image(toy, 0))


def test_waiting_inside_a_completion_is_refused(rebel: Any, toy: Any, tmp_path: Path) -> None:
    rebel()
    executor = load(toy.artefact(tmp_path / "m.rbln", **FACTS), asynchronous=True)
    seen: list[str] = []
    ended = threading.Event()

    def done(outputs: Any, error: BaseException | None) -> None:
        for call in (lambda: executor.execute(image(toy, 0)), executor.close):
            try:
                call()
            except RuntimeError as refusal:
                seen.append(str(refusal))
        ended.set()

    executor.submit(image(toy, 0), done)
    assert ended.wait(10)
    executor.close()
    assert [text.partition(" ")[0] for text in seen] == ["execute", "close"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_it_closes_twice_loads_again_and_leaves_no_thread(rebel: Any, toy: Any, tmp_path: Path, asynchronous: bool) -> None:
    """The stand-in refuses a runtime of the other kind while one is alive: each close must have let its runtime go."""
    rebel()
    path = toy.artefact(tmp_path / "m.rbln", **FACTS)
    for mode in (asynchronous, not asynchronous, asynchronous):
        executor = load(path, asynchronous=mode)
        executor.execute(image(toy, 0))
        executor.close()
        executor.close()
        with pytest.raises(RuntimeError, match="closed"):
            executor.execute(image(toy, 0))
    assert not [thread for thread in threading.enumerate() if thread.name == "rbln-loop"]


def test_an_async_runtime_that_cannot_start_says_so(rebel: Any, toy: Any, tmp_path: Path) -> None:
    sdk = rebel(FAKE_RBLN_NPUS="RBLN-CA12")
    with pytest.raises(sdk.RBLNRuntimeError, match="missing or does not match"):
        load(toy.artefact(tmp_path / "m.rbln", **FACTS), asynchronous=True)
    assert not [thread for thread in threading.enumerate() if thread.name == "rbln-loop"]


def test_a_fixed_batch_takes_fewer_and_gives_as_many(rebel: Any, toy: Any, tmp_path: Path) -> None:
    rebel()
    facts = {**FACTS, "inputs": [INPUT | {"shape": [4, 3, 8, 6]}], "outputs": [OUTPUT | {"shape": [4, 5]}]}
    with load(toy.artefact(tmp_path / "m.rbln", **facts)) as executor:
        assert executor.max_batch == 4
        assert executor.inputs[0].shape == (None, 3, 8, 6)
        for count in (4, 1, 3):
            answer = executor.execute({"image": toy.image[:count]})["output0"]
            np.testing.assert_allclose(answer, toy.image[:count].reshape(count, -1) @ toy.weight, rtol=1e-5)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda a: {}, "'image' is missing; given are: none"),
        (lambda a: {"picture": a}, "unknown input 'picture'; valid are: image"),
        (lambda a: {"image": a, "extra": a}, "unknown input 'extra'"),
        (lambda a: {"image": a.astype(np.float64)}, "'image' is float64 .*; declared is float32"),
        (
            lambda a: {"image": a[:, :2]},
            r"'image' is float32 of shape \[1, 2, 8, 6\]; declared is float32 of shape \[1, 3, 8, 6\]",
        ),
        (lambda a: {"image": np.concatenate([a, a])}, r"'image' is float32 of shape \[2, 3, 8, 6\]"),
        (lambda a: {"image": a.tolist()}, "'image' is of type list, not a numpy array"),
    ],
)
def test_wrong_inputs_are_named(
    rebel: Any, toy: Any, tmp_path: Path, wrong: Callable[[Any], Any], words: str, asynchronous: bool
) -> None:
    rebel()
    path = toy.artefact(tmp_path / "m.rbln", **FACTS)
    with load(path, asynchronous=asynchronous) as executor, pytest.raises(ValueError, match=words):
        executor.execute(wrong(toy.image[:1]))


# -- compiling ----------------------------------------------------------------------------------------------------------


def onnx_model(folder: Path, weight: Any, operator: str = "MatMul", batch: Any = "n", height: Any = 8) -> Model:
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Flatten", ["image"], ["flat"]), onnx.helper.make_node(operator, ["flat", "weight"], ["scores"])],
        "toy",
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [batch, 3, height, 6])],
        [onnx.helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, [batch, 5])],
        [onnx.numpy_helper.from_array(weight, "weight")],
    )
    path = folder / "model.onnx"
    onnx.save(onnx.helper.make_model(graph, ir_version=8), path)
    spec = TensorSpec("image", "float32", (None, 3, height if isinstance(height, int) else None, 6), "NCHW")
    return Model(path, "sha256:0", "toy", "fp32", (spec,), (TensorSpec("scores", "float32", (None, 5)),))


def test_it_compiles_for_the_chip_at_the_batch(rebel: Any, toy: Any, tmp_path: Path) -> None:
    rebel(FAKE_RBLN_NPUS="")
    artefact = RebellionsBackend().compile(
        onnx_model(tmp_path, toy.weight), Device("rbln:0", "RBLN-CA12"), RebellionsOptions(batch=2), tmp_path
    )
    assert (artefact.format, artefact.compiler) == ("rbln", "rebel-compiler 0.12.0")
    assert artefact.notes == {"npu": "RBLN-CA12", "batch": "2"}
    assert artefact.path.parent == tmp_path


def test_what_the_compiler_refuses_is_unsupported_in_its_words(rebel: Any, toy: Any, tmp_path: Path) -> None:
    rebel()
    with pytest.raises(Unsupported, match=r"rebel-compiler 0.12.0: NotImplementedError: .* not implemented: \['Gemm'\]"):
        RebellionsBackend().compile(onnx_model(tmp_path, toy.weight, "Gemm"), CA22, RebellionsOptions(), tmp_path)


def test_a_free_axis_is_unsupported(rebel: Any, toy: Any, tmp_path: Path) -> None:
    rebel()
    with pytest.raises(Unsupported, match="static shapes only, and input 'image' has a free axis 2"):
        RebellionsBackend().compile(onnx_model(tmp_path, toy.weight, height="h"), CA22, RebellionsOptions(), tmp_path)


def test_without_the_package_onnx_it_says_what_to_install(
    rebel: Any, toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebel()
    model = onnx_model(tmp_path, toy.weight)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(RuntimeError, match=r"npubench-rebellions\[compile\]"):
        RebellionsBackend().compile(model, CA22, RebellionsOptions(), tmp_path)


def test_a_chip_that_cannot_be_named_is_never_passed_over(rebel: Any, toy: Any, tmp_path: Path) -> None:
    """A release whose compile_from_onnx takes no npu compiles for the host's chip: the file is looked at before it is kept."""
    sdk = rebel()
    whole = sdk.compile_from_onnx
    sdk.compile_from_onnx = lambda model, shape=None: whole(model, shape)
    with pytest.raises(RuntimeError, match="made an artefact for RBLN-CA22 when asked for RBLN-CA12"):
        RebellionsBackend().compile(
            onnx_model(tmp_path, toy.weight), Device("rbln:0", "RBLN-CA12"), RebellionsOptions(), tmp_path
        )


def test_arguments_have_the_names_of_the_release() -> None:
    assert _chip(lambda model, shape, **kw: None, "X", 2) == {"npu": "X", "num_devices": 2}
    assert _chip(lambda model, shape, npu, tensor_parallel_size: None, "X", 2) == {"npu": "X", "tensor_parallel_size": 2}
    assert _chip(lambda model, shape: None, "X", 1) == {}


def test_the_cache_key_has_what_decides_the_artefact(rebel: Any) -> None:
    backend = RebellionsBackend()
    rebel()
    key = backend.compile_key(CA22, RebellionsOptions())
    assert key != backend.compile_key(CA22, RebellionsOptions(batch=2))
    assert key != backend.compile_key(CA22, RebellionsOptions(num_devices=2))
    assert key != backend.compile_key(Device("rbln:0", "RBLN-CA12"), RebellionsOptions())
    assert key == backend.compile_key(CA22, RebellionsOptions(asynchronous=True, in_flight=4))
    rebel(FAKE_RBLN_VERSION="0.13.0")
    assert key != backend.compile_key(CA22, RebellionsOptions())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"in_flight": 2}, "need asynchronous = true"),
        ({"parallel": 2}, "need asynchronous = true"),
        ({"parallel": 3, "asynchronous": True}, "3 is not valid"),
        ({"batch": 2, "asynchronous": True}, "one sample a request"),
        ({"timeout_s": 60.0}, "not of type int"),
        ({"timeout_s": 2**31}, "timeout_s"),
        ({"num_devices": 0}, "num_devices"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        parse_options(RebellionsOptions, options)


# -- the stand-in itself ------------------------------------------------------------------------------------------------


def parameters(signature: str) -> list[tuple[str, Any]]:
    """Return names and defaults of a signature written as text."""
    arguments = ast.parse(f"def f{signature}: ...").body[0].args  # type: ignore[attr-defined]
    defaults: list[Any] = [inspect.Parameter.empty] * (len(arguments.args) - len(arguments.defaults))
    defaults += [ast.literal_eval(default) for default in arguments.defaults]
    found = [(each.arg, default) for each, default in zip(arguments.args, defaults, strict=True)]
    return found + [(each.arg, each) for each in (arguments.vararg, arguments.kwarg) if each]


def test_the_stand_in_has_the_documented_names_and_no_others(rebel: Any) -> None:
    """So that what runs against it runs against what is documented. rebel-compiler itself was never read."""
    sdk = rebel()
    surface = json.loads((Path(__file__).parent / "surface" / "rebel_documented.json").read_text(encoding="utf-8"))
    public = {name for name in vars(sdk) if not name.startswith("_") and getattr(vars(sdk)[name], "__module__", "") == "rebel"}
    assert public == {*surface["functions"], *surface["classes"], "RBLNRuntimeError"}
    documented = dict(surface["functions"])
    actual = {name: getattr(sdk, name) for name in surface["functions"]}
    for cls, methods in surface["classes"].items():
        own = {name for name in vars(getattr(sdk, cls)) if name in ("__init__", "__call__") or not name.startswith("_")}
        assert own == set(methods), cls
        documented |= {f"{cls}.{name}": signature for name, signature in methods.items()}
        actual |= {f"{cls}.{name}": getattr(getattr(sdk, cls), name) for name in methods}
    for name, signature in documented.items():
        said = [(each, default) for each, default in parameters(signature) if not isinstance(default, ast.arg)]
        real = [
            (each.name, each.default)
            for each in inspect.signature(actual[name]).parameters.values()
            if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        ]
        assert said == real, name


def test_the_readme_lists_every_option_with_its_default() -> None:
    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", text, re.MULTILINE))
    fields = dataclasses.fields(RebellionsOptions)
    assert rows == {field.name: field.default if isinstance(field.default, str) else repr(field.default) for field in fields}
