"""The plug-in against a stand-in for ``dx_engine`` with the quirks seen on a DX-M1. It proves calls and lifecycle, no chip."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npubench.contract import (
    Artefact,
    Device,
    Executor,
    Model,
    Offload,
    OptionError,
    Quantisation,
    Rung,
    TensorSpec,
    Unsupported,
    WrongArtefact,
    parse_options,
)
from npubench_deepx import DeepxBackend, DeepxOptions, presence
from npubench_deepx.executor import count_tasks
from npubench_deepx.tensors import from_sdk, input_slots, output_slots, to_sdk

M1 = Device("dx-m1:0", "DX-M1")
SURFACE = Path(__file__).parent / "surface"


def load(path: Path, device: Device = M1, **options: Any) -> Executor:
    artefact = Artefact(path, path.suffix.lstrip("."), ready=True)
    return DeepxBackend().load(artefact, device, parse_options(DeepxOptions, options))


def image(toy: Any, n: int) -> dict[str, Any]:
    """One sample as the stand-in takes it: bytes, colours last."""
    values = np.rint(toy.image[n : n + 1] * 255).astype(np.uint8)
    return {"image": np.ascontiguousarray(np.moveaxis(values, 1, -1))}


def scores(toy: Any, n: int) -> Any:
    return toy.image[n : n + 1].reshape(1, -1) @ toy.weight


# -- how far it gets ----------------------------------------------------------------------------------------------------


def probe(monkeypatch: pytest.MonkeyPatch, loaded: bool = False, cards: tuple[str, ...] = ()) -> tuple[Rung, str, Any]:
    monkeypatch.setattr(presence, "driver_loaded", lambda modules, files: loaded)
    monkeypatch.setattr(presence, "pci_cards", lambda vendor: cards)
    found = DeepxBackend().probe()
    assert bool(found.reason) == bool(found.advice) == (found.rung < Rung.READY)
    return found.rung, found.reason, found


def test_without_the_package_it_is_not_installed_and_no_wrong_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    rung, reason, found = probe(monkeypatch)
    assert rung is Rung.NOT_INSTALLED
    assert reason == "this interpreter has no package dx_engine (DX-RT)"
    assert "dxrt of the public index is something else" in found.advice
    assert "pip install" not in found.advice


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("raise ImportError('Failed to import the C++ extension `_pydxrt`')", "ImportError: Failed to import the C++ extension"),
        ("raise OSError('libdxrt.so: cannot open shared object file')", "OSError: libdxrt.so"),
        ("import a_module_that_is_not_there", "No module named 'a_module_that_is_not_there'"),
    ],
)
def test_a_package_that_does_not_import_is_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "dx_engine.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    rung, reason, _ = probe(monkeypatch)
    sys.modules.pop("dx_engine", None)
    assert rung is Rung.SDK_BROKEN
    assert words in reason


@pytest.mark.parametrize(("cards", "seen"), [((), "no card is seen on the PCI bus"), (("0000:02:00.0",), "a card at 0000:02")])
def test_without_a_driver_it_says_whether_a_card_is_there(
    dx: Any, monkeypatch: pytest.MonkeyPatch, cards: tuple[str, ...], seen: str
) -> None:
    dx(FAKE_DX_DEVICES="0")
    rung, reason, found = probe(monkeypatch, cards=cards)
    assert rung is Rung.DRIVER_MISSING
    assert seen in reason
    assert found.versions == {"dx_engine": "3.1.0", "dx_rt": "3.1.0", "driver": "2.1.0"}


def test_a_driver_without_a_card_is_no_device_with_the_runtimes_words(dx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sdk = dx()

    def fails() -> int:
        raise RuntimeError("dxrtd is not running")

    sdk.DeviceStatus.get_device_count = fails
    rung, reason, _ = probe(monkeypatch, loaded=True)
    assert rung is Rung.NO_DEVICE
    assert "RuntimeError: dxrtd is not running" in reason


@pytest.mark.parametrize("place", ["dx_engine", "dx_engine.device_status"])
def test_cards_are_counted_by_the_runtime(dx: Any, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Releases differ in where the class that counts is."""
    sdk = dx(FAKE_DX_DEVICES="2")
    if place != "dx_engine":
        del sdk.DeviceStatus
    rung, _, found = probe(monkeypatch)
    assert rung is Rung.READY
    assert [(device.name, device.kind) for device in found.devices] == [("dx-m1:0", "DX-M1"), ("dx-m1:1", "DX-M1")]


def test_a_release_that_cannot_count_has_no_device(dx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sdk = dx()
    del sdk.DeviceStatus
    monkeypatch.setattr(presence, "_STATUS_MODULES", ())
    rung, reason, _ = probe(monkeypatch, loaded=True)
    assert rung is Rung.NO_DEVICE
    assert "has no DeviceStatus" in reason


# -- files --------------------------------------------------------------------------------------------------------------


def test_files_that_are_not_for_this_runtime_are_refused(dx: Any, toy: Any, tmp_path: Path) -> None:
    dx()
    with pytest.raises(WrongArtefact, match="there is no such file"):
        load(tmp_path / "none.dxnn")
    junk = tmp_path / "junk.dxnn"
    junk.write_bytes(b"junk")
    with pytest.raises(WrongArtefact, match=r"cannot read it: RuntimeError: \[DXRT\] invalid DXNN header"):
        load(junk)
    with pytest.raises(WrongArtefact, match=r"no \.dxnn file but 'onnx'"):
        load(toy.artefact(tmp_path / "m.onnx"))
    with pytest.raises(WrongArtefact, match="version 5 is not supported, 6 or later is; compile it with the DX-COM"):
        load(toy.artefact(tmp_path / "old.dxnn", version=5))


def test_it_compiles_nothing_and_says_how_to_hand_a_file_in(tmp_path: Path) -> None:
    model = Model(tmp_path / "m.onnx", "", "toy", "vendor", (), ())
    with pytest.raises(Unsupported, match=r'artefacts = \{ "toy" = "FILE.dxnn" \}'):
        DeepxBackend().compile(model, M1, DeepxOptions(), tmp_path)


@pytest.mark.parametrize(("precision", "supported"), [("fp32", False), ("fp16", False), ("vendor", True), ("int8", True)])
def test_fp32_is_not_measured_as_what_the_chip_does_not_compute(tmp_path: Path, precision: str, supported: bool) -> None:
    support = DeepxBackend().supports(Model(tmp_path, "", "toy", precision, (), ()), M1)
    assert support.supported is supported
    assert supported or "ask for the precision vendor" in support.reason


def test_tasks_on_the_host_are_refused_unless_they_are_allowed(dx: Any, toy: Any, tmp_path: Path) -> None:
    sdk = dx()
    path = toy.artefact(tmp_path / "m.dxnn", tasks=["npu_0", "cpu_0"])
    with pytest.raises(WrongArtefact, match="it leaves cpu_0 to the host CPU"):
        load(path)
    assert sdk.InferenceEngine.alive == 0
    with load(path, allow_host_operators=True) as executor:
        assert executor.offload() == Offload(1, 1, "DX-RT task order (tasks, not operators)", ("cpu_0",))
        assert executor._engine._option.use_ort is True
        assert executor.notes()["tasks"] == "npu_0, cpu_0"


@pytest.mark.parametrize(
    ("tasks", "said"),
    [(("npu_0", "npu_1"), (2, 0)), (("npu_0", "cpu_0", "npu_1"), (2, 1)), (("task_a",), None), ((), None), (None, None)],
)
def test_tasks_are_counted_by_name_and_strange_names_are_not_guessed(
    tasks: tuple[str, ...] | None, said: tuple[int, int] | None
) -> None:
    found = count_tasks(tasks)
    assert (None if found is None else (found.device_operators, found.host_operators)) == said


def test_what_the_file_says_becomes_the_specs(dx: Any, toy: Any, tmp_path: Path) -> None:
    dx()
    with load(toy.artefact(tmp_path / "m.dxnn"), input_scale=[1 / 255], bound="NPU_12", buffers=4) as executor:
        quantisation = Quantisation((1 / 255,), (0,))
        assert list(executor.inputs) == [TensorSpec("image", "uint8", (1, 8, 6, 3), "NHWC", quantisation)]
        assert list(executor.outputs) == [TensorSpec("scores", "float32", (1, 5))]
        assert (executor.max_batch, executor.max_in_flight) == (1, 1)
        assert executor.notes() == {"bound": "NPU_12", "file version": "7", "tasks": "npu_0"}
        option = executor._engine._option
        assert (option.devices, option.bound_option.name, option.use_ort, option.buffer_count) == ([0], "NPU_12", False, 4)
        assert executor.offload() == Offload(1, 0, "DX-RT task order (tasks, not operators)")


def test_an_older_release_is_driven_without_what_it_lacks(dx: Any, toy: Any, tmp_path: Path) -> None:
    dx(FAKE_DX_RELEASE="2.9.5")
    path = toy.artefact(tmp_path / "m.dxnn")
    load(path).close()
    with pytest.raises(ValueError, match="no buffer_count; leave it at 6"):
        load(path, buffers=4)


@pytest.mark.parametrize(
    ("info", "options", "spec", "sdk_shape"),
    [
        ({"shape": [1, 8, 6, 3], "dtype": "uint8"}, {}, ((1, 8, 6, 3), "NHWC"), (8, 6, 3)),
        ({"shape": [1, 8, 6, 3], "dtype": "uint8"}, {"batch_axis": "keep"}, ((1, 8, 6, 3), "NHWC"), (1, 8, 6, 3)),
        ({"shape": [8, 6, 3], "dtype": np.uint8}, {}, ((1, 8, 6, 3), "NHWC"), (8, 6, 3)),
        ({"shape": [1, 3, 8, 6], "dtype": "float32"}, {}, ((1, 3, 8, 6), "NCHW"), (1, 3, 8, 6)),
        ({"shape": [1, 3, 8, 6], "dtype": "float32"}, {"batch_axis": "drop"}, ((1, 3, 8, 6), "NCHW"), (3, 8, 6)),
        ({"shape": [1, 8, 6, 7], "dtype": "float32"}, {}, ((1, 8, 6, 7), ""), (1, 8, 6, 7)),
        ({"shape": [1, 8, 6, 7], "dtype": "float32"}, {"layout": "NHWC"}, ((1, 8, 6, 7), "NHWC"), (1, 8, 6, 7)),
        ({"shape": [1, 128], "dtype": "int64"}, {}, ((1, 128), ""), (1, 128)),
    ],
)
def test_axes_and_layouts_of_inputs(
    info: dict[str, Any], options: dict[str, str], spec: tuple[Any, str], sdk_shape: tuple[int, ...]
) -> None:
    (slot,) = input_slots([{"name": "x", **info}], **{"batch_axis": "auto", "layout": "auto", **options}, scale=(), zero=())  # type: ignore[arg-type]
    assert (slot.spec.shape, slot.spec.layout) == spec
    assert slot.spec.quantisation is None
    assert slot.sdk_shape == sdk_shape
    given = np.arange(np.prod(slot.spec.shape)).astype(slot.spec.dtype).reshape(slot.spec.shape)
    (array,) = to_sdk([slot], {"x": given})
    assert array.shape == sdk_shape
    np.testing.assert_array_equal(array.ravel(), given.ravel())


def test_a_scale_a_channel_goes_along_the_channels() -> None:
    (slot,) = input_slots([{"name": "x", "shape": [1, 8, 6, 3], "dtype": "uint8"}], "auto", "auto", (0.1, 0.2, 0.3), (1, 2, 3))
    assert slot.spec.quantisation == Quantisation((0.1, 0.2, 0.3), (1, 2, 3), 3)
    with pytest.raises(ValueError, match="2 values do not fit the channels of input 'x'"):
        input_slots([{"name": "x", "shape": [1, 8, 6, 3], "dtype": "uint8"}], "auto", "auto", (0.1, 0.2), ())


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"shape": [-1, 6], "dtype": "float32"}, "only known at run time"),
        ({"shape": [1, 6], "dtype": "BBOX"}, "of type BBOX, which is no array of numbers"),
        ({"shape": [1, 6], "dtype": None}, "of type None"),
    ],
)
def test_outputs_that_are_no_arrays_are_refused_by_name(info: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=f"tensor 'x'.*{words}"):
        output_slots([{"name": "x", **info}])


def test_an_output_without_its_axis_of_length_one_gets_it_back() -> None:
    slots = output_slots([{"name": "a", "shape": [5], "dtype": "float32"}, {"name": "b", "shape": [1, 4], "dtype": "float32"}])
    found = from_sdk(slots, [np.zeros(5, np.float32), np.zeros(4, np.float32)])
    assert {name: array.shape for name, array in found.items()} == {"a": (1, 5), "b": (1, 4)}
    with pytest.raises(RuntimeError, match="returned 1 outputs, and the file names 2"):
        from_sdk(slots, [np.zeros(5, np.float32)])
    assert from_sdk(slots, [np.zeros(5, np.float32), np.zeros(7, np.float32)])["b"].shape == (7,)


# -- running ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asynchronous", [False, True])
def test_answers_are_right_and_the_callers_own(dx: Any, toy: Any, tmp_path: Path, asynchronous: bool) -> None:
    """The stand-in fills the buffer of an answer with NaN as soon as the callback has returned."""
    dx()
    with load(toy.artefact(tmp_path / "m.dxnn"), asynchronous=asynchronous) as executor:
        answers = [executor.execute(image(toy, n))["scores"] for n in range(7)]
        for n, answer in enumerate(answers):
            np.testing.assert_allclose(answer, scores(toy, n), rtol=1e-4)


def test_no_callback_is_registered_where_requests_come_one_by_one(dx: Any, toy: Any, tmp_path: Path) -> None:
    """A registered callback fires during run as well, with no token: eight of eight requests were lost that way."""
    dx()
    with load(toy.artefact(tmp_path / "m.dxnn")) as executor:
        assert executor._engine._callback is None
        executor.execute(image(toy, 0))


def test_many_in_flight_each_get_their_own_answer(dx: Any, toy: Any, tmp_path: Path) -> None:
    """The stand-in completes some inside the call, some later, and some in the wrong order."""
    dx()
    executor = load(toy.artefact(tmp_path / "m.dxnn"), asynchronous=True, buffers=5)
    assert executor.max_in_flight == 4
    answers: list[tuple[int, Any]] = []
    ended = threading.Event()

    def done(n: int) -> Callable[[Any, BaseException | None], None]:
        def take(outputs: Any, error: BaseException | None) -> None:
            answers.append((n, error or outputs["scores"]))
            if len(answers) == 24:
                ended.set()

        return take

    for n in range(24):
        executor.submit(image(toy, n), done(n))
    assert ended.wait(10)
    executor.close()
    order = [n for n, _ in answers]
    assert sorted(order) == list(range(24))
    assert order != sorted(order)
    for n, answer in answers:
        np.testing.assert_allclose(answer, scores(toy, n), rtol=1e-4)


def test_a_completion_without_a_token_fails_what_is_in_flight(dx: Any, toy: Any, tmp_path: Path) -> None:
    """Nobody can tell whose it is: an error is better than another's answer. One that comes twice ends nothing twice."""
    sdk = dx()
    executor = load(toy.artefact(tmp_path / "m.dxnn"), asynchronous=True)
    sdk.InferenceEngine.run_async = lambda self, input_data, user_arg=None, output_buffer=None: 1
    ended: list[Any] = []
    for n in range(2):
        executor.submit(image(toy, n), lambda outputs, error: ended.append(outputs or error))
    back = executor._engine._callback
    answer = [np.zeros((1, 5), np.float32)]
    assert back(answer, 1) == 0
    assert back(answer, 1) == 0
    assert [type(each) for each in ended] == [dict]
    assert back(answer, None) == 0
    assert len(ended) == 2
    assert "without its token" in str(ended[1])
    executor.close()


def test_nothing_travels_through_the_runtime(dx: Any, toy: Any, tmp_path: Path) -> None:
    """The stand-in aborts the process where a callback returns anything but 0."""
    dx()

    def bad(outputs: Any, error: BaseException | None) -> None:
        raise KeyboardInterrupt

    with load(toy.artefact(tmp_path / "m.dxnn"), asynchronous=True) as executor:
        for n in range(4):
            executor.submit(image(toy, n), bad)


def test_a_request_the_runtime_refuses_is_not_in_flight(dx: Any, toy: Any, tmp_path: Path) -> None:
    sdk = dx()

    def refuses(self: Any, input_data: Any, user_arg: Any = None, output_buffer: Any = None) -> int:
        raise RuntimeError("[DXRT] queue is full")

    sdk.InferenceEngine.run_async = refuses
    with load(toy.artefact(tmp_path / "m.dxnn"), asynchronous=True) as executor:
        with pytest.raises(RuntimeError, match="queue is full"):
            executor.submit(image(toy, 0), lambda outputs, error: None)
        assert executor._jobs == {}


def test_waiting_inside_a_completion_is_refused(dx: Any, toy: Any, tmp_path: Path) -> None:
    dx()
    executor = load(toy.artefact(tmp_path / "m.dxnn"), asynchronous=True)
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
def test_it_closes_twice_and_loads_again(dx: Any, toy: Any, tmp_path: Path, asynchronous: bool) -> None:
    sdk = dx()
    path = toy.artefact(tmp_path / "m.dxnn")
    for _ in range(2):
        executor = load(path, asynchronous=asynchronous)
        engine = executor._engine
        executor.execute(image(toy, 0))
        executor.close()
        executor.close()
        assert (engine._callback, engine._disposed, sdk.InferenceEngine.alive) == (None, True, 0)
        with pytest.raises(RuntimeError, match="closed"):
            executor.execute(image(toy, 0))


def test_a_multi_input_file_goes_by_name(dx: Any, toy: Any, tmp_path: Path) -> None:
    """Where the release has run_multi_input; without it the arrays go in the file's order."""
    sdk = dx()
    given: list[Any] = []
    sdk.InferenceEngine.get_input_tensors_info = lambda self: [
        {"name": "b", "shape": [1, 2], "dtype": "float32"},
        {"name": "a", "shape": [1, 2], "dtype": "float32"},
    ]
    sdk.InferenceEngine.run = lambda self, input_data: (given.append(input_data), [np.zeros((1, 5), np.float32)])[1]
    inputs = {"a": np.ones((1, 2), np.float32), "b": np.zeros((1, 2), np.float32)}
    with load(toy.artefact(tmp_path / "m.dxnn")) as executor:
        executor.execute(inputs)
        assert [array.sum() for array in given.pop()] == [0, 2]
        sdk.InferenceEngine.run_multi_input = sdk.InferenceEngine.run
        executor.execute(inputs)
        assert {name: array.sum() for name, array in given.pop().items()} == {"a": 2, "b": 0}


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda a: {}, "'image' is missing; given are: none"),
        (lambda a: {"picture": a}, "unknown input 'picture'; valid are: image"),
        (lambda a: {"image": a, "extra": a}, "unknown input 'extra'"),
        (lambda a: {"image": a.astype(np.float32)}, "'image' is float32 .*; declared is uint8"),
        (
            lambda a: {"image": np.moveaxis(a, -1, 1)},
            r"'image' is uint8 of shape \[1, 3, 8, 6\]; declared is uint8 of shape \[1, 8, 6, 3\]",
        ),
        (lambda a: {"image": np.concatenate([a, a])}, r"'image' is uint8 of shape \[2, 8, 6, 3\]"),
        (lambda a: {"image": a.tolist()}, "'image' is of type list, not a numpy array"),
    ],
)
def test_wrong_inputs_are_named(
    dx: Any, toy: Any, tmp_path: Path, wrong: Callable[[Any], Any], words: str, asynchronous: bool
) -> None:
    """Colours first would run, and answer rubbish at full speed: it is refused by its shape."""
    dx()
    path = toy.artefact(tmp_path / "m.dxnn")
    with load(path, asynchronous=asynchronous) as executor, pytest.raises(ValueError, match=words):
        executor.execute(wrong(image(toy, 0)["image"]))


# -- telemetry ----------------------------------------------------------------------------------------------------------


def test_sensors_are_temperature_and_clock_of_three_cores_and_no_power(dx: Any) -> None:
    dx()
    found = DeepxBackend().sensors(M1)
    assert [(each.name, each.kind, each.domain) for each in found] == [
        (f"core {core} {kind}", kind, "chip") for kind in ("temperature", "clock") for core in range(3)
    ]
    assert [each.read() for each in found] == [41_000, 42_000, 43_000, 10**9, 10**9, 10**9]


def test_a_round_of_readings_takes_one_snapshot(dx: Any) -> None:
    sdk = dx()
    taken: list[int] = []
    whole = sdk.DeviceStatus.get_current_status
    sdk.DeviceStatus.get_current_status = lambda index: (taken.append(index), whole(index))[1]
    found = DeepxBackend().sensors(M1)
    for _ in range(2):
        assert all(each.read() is not None for each in found)
    assert len(taken) == 2


@pytest.mark.parametrize("value", [0, -32768, 100_000])
def test_a_channel_that_is_not_there_is_no_value(dx: Any, value: int) -> None:
    sdk = dx()
    sdk.DeviceStatus.get_temperature = sdk.DeviceStatus.get_npu_clock = lambda self, ch: value
    assert {each.read() for each in DeepxBackend().sensors(M1)} == {None}


def test_a_status_that_nobody_refreshes_is_no_value(dx: Any) -> None:
    sdk = dx()
    sdk.DeviceStatus.is_valid = lambda self: False
    assert {each.read() for each in DeepxBackend().sensors(M1)} == {None}


def test_a_card_that_goes_away_is_no_value(dx: Any) -> None:
    dx()
    assert {each.read() for each in DeepxBackend().sensors(Device("dx-m1:3", "DX-M1"))} == {None}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"buffers": 0}, "not within 1…100"),
        ({"buffers": 101}, "not within 1…100"),
        ({"buffers": 1, "asynchronous": True}, "asynchronous takes 2 or more"),
        ({"bound": "NPU_3"}, "'NPU_3' is not valid"),
        ({"input_scale": [0.0]}, "more than 0"),
        ({"input_scale": [0.1], "input_zero_point": [1, 2]}, "as many as input_scale"),
        ({"power": True}, "unknown key 'power'"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        parse_options(DeepxOptions, options)


# -- the stand-in itself ------------------------------------------------------------------------------------------------


def names(signature: str) -> list[str]:
    arguments = ast.parse(f"def f{signature.partition(' ->')[0]}: ...").body[0].args  # type: ignore[attr-defined]
    return [each.arg for each in arguments.args]


def own(cls: type) -> set[str]:
    return {
        name for name in vars(cls) if name == "__init__" or (not name.startswith("_") and name not in ("alive", "BOUND_OPTION"))
    }


def test_the_stand_in_has_the_vendors_names_and_no_others(dx: Any) -> None:
    """So that what runs against it runs against DX-RT 2.9.5 as read, and 3.x as documented."""
    sdk = dx()
    read = json.loads((SURFACE / "deepx_dx_engine_2.9.5.json").read_text(encoding="utf-8"))
    documented = json.loads((SURFACE / "deepx_dx_engine_documented.json").read_text(encoding="utf-8"))
    for cls in ("InferenceEngine", "InferenceOption", "Configuration", "DeviceStatus"):
        surface = {**documented.get(cls, {}), **read.get(cls, {})}
        assert own(getattr(sdk, cls)) <= set(surface), cls
        for name in own(getattr(sdk, cls)):
            said = list(inspect.signature(getattr(getattr(sdk, cls), name)).parameters)
            assert said == names(surface[name]), f"{cls}.{name}"
    assert list(inspect.signature(sdk.parse_model).parameters) == names(read["functions"]["parse_model"])
    assert {"use_ort", "bound_option", "devices", "buffer_count"} <= {*read["InferenceOption"], *documented["InferenceOption"]}
    assert set(vars(sdk.InferenceOption())) == {"use_ort", "bound_option", "devices", "buffer_count"}


def test_the_readme_lists_every_option_with_its_default() -> None:
    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", text, re.MULTILINE))
    fields = dataclasses.fields(DeepxOptions)
    assert rows == {field.name: field.default if isinstance(field.default, str) else repr(field.default) for field in fields}
