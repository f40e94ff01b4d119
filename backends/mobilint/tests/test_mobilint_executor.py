"""Loading and running on a stand-in for the runtime. Proves the calls, their order and the tensors; no chip's answer."""

from __future__ import annotations

import dataclasses
import importlib
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npubench.contract import OptionError, TensorSpec, WrongArtefact, parse_options
from npubench_mobilint import MobilintOptions, session
from npubench_mobilint.sdk import import_runtime
from npubench_mobilint.tensors import Slot, in_order

UINT8 = {"dtype": "Uint8", "input_scale": {"scale": 1 / 255, "is_uniform": True, "scale_list": []}}
INT8 = {
    "dtype": "Int8",
    "input_scale": {"scale": 1 / 127, "is_uniform": True, "scale_list": [], "zero_point": 3, "is_asymmetric": True},
    "output_scale": {"scale": 16.0, "is_uniform": True, "scale_list": []},
}


def image(toy: Any, n: int, dtype: str = "float32") -> Any:
    """Return sample ``n`` as the device takes it: [1, h, w, c]."""
    values = np.moveaxis(toy.image[n : n + 1], 1, -1)
    return np.ascontiguousarray(np.rint(values * 255).astype(np.uint8) if dtype == "uint8" else values)


def scores(toy: Any, n: int) -> Any:
    return toy.image[n].reshape(-1) @ toy.weight


def test_float_in_hwc_and_scores_out(load: Any, toy: Any) -> None:
    with load() as executor:
        assert [spec.to_dict() for spec in executor.inputs] == [
            {"name": "", "dtype": "float32", "shape": [1, 8, 6, 3], "layout": "NHWC", "quantisation": None}
        ]
        assert [(spec.name, spec.dtype, spec.shape) for spec in executor.outputs] == [("", "float32", (1, 1, 1, 5))]
        outputs = executor.execute({"input0": image(toy, 2)})
        np.testing.assert_allclose(outputs["output0"].reshape(-1), scores(toy, 2), rtol=1e-5)


def test_outputs_are_the_callers_own(load: Any, toy: Any) -> None:
    """The stand-in gives views of one buffer, which the next request overwrites."""
    with load() as executor:
        first = executor.execute({"input0": image(toy, 0)})["output0"]
        kept = first.copy()
        executor.execute({"input0": image(toy, 1)})
        assert np.array_equal(first, kept)


def test_uint8_carries_the_scale_of_the_mxq(load: Any, toy: Any) -> None:
    with load(**UINT8) as executor:
        (spec,) = executor.inputs
        assert spec.dtype == "uint8"
        assert spec.quantisation.scale == (1 / 255,)
        assert spec.quantisation.zero_point == (0,)
        outputs = executor.execute({"input0": image(toy, 1, "uint8")})
        np.testing.assert_allclose(outputs["output0"].reshape(-1), scores(toy, 1), rtol=1e-4, atol=1e-3)


def test_what_the_target_says_of_the_scale_counts_more(load: Any) -> None:
    with load({"input_scale": [0.5, 0.25, 0.125], "input_zero_point": [1, 2, 3]}, **UINT8) as executor:
        assert executor.inputs[0].quantisation.scale == (0.5, 0.25, 0.125)
        assert executor.inputs[0].quantisation.axis == 3


def test_int8_in_and_int8_out_with_a_scale_each(load: Any, toy: Any) -> None:
    with load(**INT8) as executor:
        assert (executor.inputs[0].dtype, executor.inputs[0].quantisation.zero_point) == ("int8", (3,))
        assert (executor.outputs[0].dtype, executor.outputs[0].quantisation.scale) == ("int8", (16.0,))
    with load({"tensors": "float32"}, **INT8) as executor:
        assert (executor.inputs[0].dtype, executor.inputs[0].quantisation) == ("float32", None)
        outputs = executor.execute({"input0": image(toy, 0)})
        np.testing.assert_allclose(outputs["output0"].reshape(-1), scores(toy, 0), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["Float16", "BInt16"])
def test_a_dtype_that_infer_does_not_take_is_fed_float32(load: Any, dtype: str) -> None:
    with load(dtype=dtype) as executor:
        assert executor.inputs[0].dtype == "float32"
        assert executor.notes()["native dtype"] == dtype


def test_float_into_uint8_fails_at_load_with_the_runtimes_words(load: Any) -> None:
    with pytest.raises(RuntimeError, match="Model_DtypeMismatched"):
        load({"tensors": "float32"}, **UINT8)


def test_chw_has_the_runtime_turn_the_image(load: Any, toy: Any) -> None:
    with load({"layout": "chw"}) as executor:
        assert (executor.inputs[0].shape, executor.inputs[0].layout) == ((1, 3, 8, 6), "NCHW")
        outputs = executor.execute({"input0": toy.image[4:5]})
        np.testing.assert_allclose(outputs["output0"].reshape(-1), scores(toy, 4), rtol=1e-5)


def test_names_go_to_tensors_in_the_order_of_the_mxq(load: Any, toy: Any) -> None:
    with load({"input_names": ["image"], "output_names": ["scores"]}) as executor:
        assert list(executor.execute({"image": image(toy, 0)})) == ["scores"]
    with pytest.raises(ValueError, match=r"output_names.* has 1 outputs"):
        load({"output_names": ["a", "b"]})


def test_a_batch_where_the_target_allows_one(load: Any, toy: Any) -> None:
    with load({"core_mode": "multi", "batch": 4}, modes=["multi"]) as executor:
        assert (executor.max_batch, executor.inputs[0].shape[0]) == (4, None)
        batch = np.concatenate([image(toy, n) for n in range(3)])
        outputs = executor.execute({"input0": batch})["output0"]
        assert outputs.shape == (3, 1, 1, 5)
        np.testing.assert_allclose(outputs.reshape(3, 5), [scores(toy, n) for n in range(3)], rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: {}, "input 'input0' is missing; given are: none"),
        (lambda x: {"input0": x, "more": x}, "unknown input 'more'"),
        (lambda x: {"input0": x.astype(np.float64)}, "'input0' is float64 .*; declared is float32"),
        (lambda x: {"input0": x[0]}, r"'input0' is float32 of shape \[8, 6, 3\]"),
        (lambda x: {"input0": np.moveaxis(x, -1, 1)}, r"of shape \[1, 3, 8, 6\]; declared is float32 of shape \[1, 8, 6, 3\]"),
        (lambda x: {"input0": np.concatenate([x, x])}, r"of shape \[2, 8, 6, 3\]; declared is float32 of shape \[1, 8, 6, 3\]"),
    ],
)
def test_a_wrong_input_is_refused_by_name(load: Any, toy: Any, change: Callable[[Any], Any], words: str) -> None:
    with load() as executor, pytest.raises(ValueError, match=words):
        executor.execute(change(image(toy, 0)))


@pytest.mark.parametrize(
    ("options", "slots", "mode"),
    [
        ({}, 1, "Single"),
        ({"core_mode": "single", "cores": ["0.0", "1.2"]}, 4, "Single"),
        ({"core_mode": "multi"}, 4, "Multi"),
        ({"core_mode": "global4", "clusters": [1]}, 2, "Global4"),
        ({"core_mode": "global8"}, 2, "Global8"),
        ({"core_mode": "global8", "slots": 5}, 5, "Global8"),
    ],
)
def test_in_flight_is_what_the_runtime_has_slots_for(load: Any, options: dict[str, Any], slots: int, mode: str) -> None:
    modes = ["single"] if not options else ["single", "multi", "global4", "global8"]
    with load(options, modes=modes) as executor:
        assert executor.max_in_flight == slots
        assert executor.notes()["core mode"] == mode


def test_the_account_of_operators_is_given_where_the_runtime_confirms_it(load: Any) -> None:
    with load() as executor:
        assert (executor.offload().device_operators, executor.offload().host_operators) == (1, 0)
    with load({"allow_host_operators": True}) as executor:
        assert executor.offload() is None


def test_a_runtime_that_answers_false_has_not_confirmed(vendor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """False equals 0; it is no bundle."""
    vendor(meters=[])
    monkeypatch.setattr(importlib.import_module("qbruntime").ModelConfig, "get_forced_npu_bundle_index", lambda self: False)
    with pytest.raises(RuntimeError, match=r"does not confirm.*index False.*allow_host_operators"):
        session.configure(import_runtime(), MobilintOptions())
    assert session.configure(import_runtime(), MobilintOptions(allow_host_operators=True))[2] is False


def test_cores_other_than_asked_for_are_noticed(vendor: Any) -> None:
    vendor(meters=[])
    module = importlib.import_module("qbruntime")
    model = type("Model", (), {"get_target_cores": lambda self: [module.CoreId(module.Cluster.Cluster0, module.Core.Core0)]})()
    session._check_cores(model, module, MobilintOptions(core_mode="single"))
    with pytest.raises(RuntimeError, match=r"put on Cluster0.Core0, asked for were Cluster1.Core3"):
        session._check_cores(model, module, MobilintOptions(core_mode="single", cores=("1.3",)))


@pytest.mark.parametrize(
    ("options", "facts", "words"),
    [
        ({}, {"devices": ["regulus-rb", "regulus-rb-usb"]}, "compiled for regulus-rb, regulus-rb-usb, and here is aries-rb"),
        ({}, {"modes": ["single", "global8"]}, "not compiled for core_mode = 'auto'"),
        ({"core_mode": "global8"}, {}, "not compiled for core_mode = 'global8'"),
    ],
)
def test_an_artefact_for_something_else_is_wrong(load: Any, options: dict[str, Any], facts: dict[str, Any], words: str) -> None:
    with pytest.raises(WrongArtefact, match=words):
        load(options, **facts)


@pytest.mark.parametrize(
    ("target", "here", "fits"),
    [
        ("aries", "aries-rb", True),
        ("aries-rb", "aries", True),
        ("aries-rb", "aries-rb", True),
        ("aries-ra", "aries-rb", False),
        ("regulus-rb", "regulus-rb-usb", False),
        ("regulus", "regulus-usb", False),
    ],
)
def test_a_short_name_stands_for_its_revisions(target: str, here: str, fits: bool) -> None:
    assert session._covers(target, here) is fits


def test_a_model_of_several_bundles_needs_the_host_to_be_allowed(load: Any) -> None:
    """One bundle of two alone is another model: shapes differ on a real one, the accuracy gate tells in any case."""
    with load({"allow_host_operators": True}, bundles=2) as executor:
        assert executor.offload() is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"core_mode": "global9"}, "core_mode: 'global9' is not valid"),
        ({"cores": ["0.0"]}, "cores: they are chosen with core_mode = 'single'"),
        ({"core_mode": "single", "cores": ["2.0"]}, "cores: '2.0' is no core"),
        ({"core_mode": "single", "clusters": [0]}, "clusters: they are chosen with"),
        ({"core_mode": "multi", "clusters": [2]}, "there are the clusters 0 and 1"),
        ({"slots": 1000}, "slots: 1000 is not between 0 and 64"),
        ({"batch": 0}, "batch: 0 is less than 1"),
        ({"asynchronous": True, "batch": 2}, "infer_async takes one sample"),
        ({"asynchronous": True, "allow_host_operators": True}, "infer_async runs no model with operators on the host"),
        ({"input_scale": [0.0]}, "a scale is above 0"),
        ({"input_zero_point": [3]}, "one value for each of input_scale"),
    ],
)
def test_options_that_cannot_go_together_name_their_keys(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        parse_options(MobilintOptions, options)


def test_close_twice_then_load_again(load: Any, toy: Any) -> None:
    executor = load()
    executor.close()
    executor.close()
    with pytest.raises(RuntimeError, match="the executor is closed"):
        executor.execute({"input0": image(toy, 0)})
    with load() as again:
        again.execute({"input0": image(toy, 0)})


def test_a_dispose_that_fails_is_tried_again(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = load()
    calls: list[int] = []

    def dispose() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("Driver_FailedToUnclaimCores occurred.")

    monkeypatch.setattr(executor._model, "dispose", dispose)
    with pytest.raises(RuntimeError, match="FailedToUnclaimCores"):
        executor.close()
    executor.close()
    executor.close()
    assert len(calls) == 2


# -- asynchronous ----------------------------------------------------------------------------------------------------

ASYNC = {"core_mode": "global8", "asynchronous": True}
GLOBAL8 = {"modes": ["global8"]}


def submit_all(executor: Any, toy: Any, count: int) -> tuple[dict[int, Any], list[int]]:
    """Submit ``count`` requests, as many at once as there are slots; returns outputs by request, and the order of completion."""
    outputs: dict[int, Any] = {}
    order: list[int] = []
    permits, all_done = threading.Semaphore(executor.max_in_flight), threading.Event()

    def finished(n: int) -> Callable[[Any, BaseException | None], None]:
        def done(result: Any, error: BaseException | None) -> None:
            assert n not in outputs, "done was called twice"
            outputs[n] = error or result["output0"].reshape(-1)
            order.append(n)
            permits.release()
            if len(outputs) == count:
                all_done.set()

        return done

    for n in range(count):
        permits.acquire()
        executor.submit({"input0": image(toy, n % 32)}, finished(n))
    assert all_done.wait(30), f"{count - len(outputs)} requests were lost"
    return outputs, order


def test_every_request_in_flight_has_its_own_answer(load: Any, toy: Any) -> None:
    with load({**ASYNC, "slots": 4}, **GLOBAL8) as executor:
        outputs, order = submit_all(executor, toy, 200)
        for n, result in outputs.items():
            np.testing.assert_allclose(result, scores(toy, n % 32), rtol=1e-5)
        assert order != sorted(order), "the stand-in lets requests overtake, and so must the plug-in"


def test_a_blocked_callback_holds_no_slot(load: Any, toy: Any) -> None:
    with load({**ASYNC, "slots": 1}, **GLOBAL8) as executor:
        entered, release, second = threading.Event(), threading.Event(), threading.Event()

        def blocked(*_: Any) -> None:
            entered.set()
            release.wait(30)

        executor.submit({"input0": image(toy, 0)}, blocked)
        assert entered.wait(30)
        executor.submit({"input0": image(toy, 1)}, lambda *_: second.set())
        assert second.wait(30)
        release.set()


def test_a_callback_that_raises_does_not_stop_the_next(load: Any, toy: Any, caplog: pytest.LogCaptureFixture) -> None:
    with load({**ASYNC, "slots": 1}, **GLOBAL8) as executor:
        for _ in range(3):
            told = threading.Event()

            def raising(*_: Any, told: threading.Event = told) -> None:
                told.set()
                raise ValueError("a bug of the caller's")

            executor.submit({"input0": image(toy, 0)}, raising)
            assert told.wait(30)
    assert "the callback of a request raised" in caplog.text


def test_an_error_of_the_runtime_reaches_its_request(load: Any, toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with load(ASYNC, **GLOBAL8) as executor:
        executor._model._launched = False
        outputs, _ = submit_all(executor, toy, 3)
        assert all("Model_NotLaunched" in str(error) for error in outputs.values())
        executor._model._launched = True

        def refuse(inputs: Any) -> Any:
            raise RuntimeError("Model_AsyncPipelineTimeout occurred.")

        monkeypatch.setattr(executor._model, "infer_async", refuse)
        outputs, _ = submit_all(executor, toy, 1)
        assert "Model_AsyncPipelineTimeout" in str(outputs[0])


def test_close_waits_for_what_was_submitted(load: Any, toy: Any) -> None:
    executor = load({**ASYNC, "slots": 4}, **GLOBAL8)
    done: list[Any] = []
    for n in range(4):
        executor.submit({"input0": image(toy, n)}, lambda *result: done.append(result))
    executor.close()
    assert len(done) == 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mobilint-")]
    with pytest.raises(RuntimeError, match="closed"):
        executor.submit({"input0": image(toy, 0)}, lambda *_: None)


def test_execute_goes_the_asynchronous_way_too(load: Any, toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with load(ASYNC, **GLOBAL8) as executor:
        monkeypatch.delattr(type(executor._model), "infer")
        outputs = executor.execute({"input0": image(toy, 3)})
        np.testing.assert_allclose(outputs["output0"].reshape(-1), scores(toy, 3), rtol=1e-5)


@pytest.mark.parametrize("version", ["v1.2.0", "1.3.1", "0.30.1", ""])
def test_an_old_runtime_is_not_run_asynchronously(load: Any, version: str) -> None:
    machine = {"devices": {"regulus-ra": [0]}, "version": version}
    with pytest.raises(RuntimeError, match=r"asynchronous: qbruntime .* is older than 1.3.2"):
        load({"asynchronous": True}, machine=machine, devices=["regulus-ra"])


def test_what_is_known_against_a_runtime_is_noted(load: Any) -> None:
    with load(machine={"devices": {"regulus-ra": [0]}, "version": "v1.2.0"}, devices=["regulus-ra"]) as executor:
        assert "several outputs" in executor.notes()["warning"]
    with load() as executor:
        assert "warning" not in executor.notes()


def test_the_defect_of_the_old_runtime_is_what_the_version_guards_against(load: Any, toy: Any) -> None:
    """With the guard out of the way, the stand-in's stale outputs reach the caller: the kit and the gate must find them."""
    machine = {"devices": {"aries-rb": [0]}, "version": "v1.3.2", "stale": True}
    with load(ASYNC, machine=machine, **GLOBAL8) as executor:
        outputs, _ = submit_all(executor, toy, 4)
        assert all(np.array_equal(result, outputs[0]) for result in outputs.values())


def test_cubes_are_not_handed_to_infer_async_as_chw(load: Any) -> None:
    with pytest.raises(ValueError, match="layout: with asynchronous, the runtime takes cubes for HWC"):
        load({**ASYNC, "layout": "chw"}, shape=[3, 3, 3], **GLOBAL8)


def test_the_readme_has_every_option_and_no_other() -> None:
    table = re.search(r"\| option \|.*?\n\n", (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8"), re.S)
    assert table is not None
    rows = [line.split("|")[1] for line in table[0].strip().splitlines()[2:]]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(field.name for field in dataclasses.fields(MobilintOptions))


@pytest.mark.parametrize(("shape", "fits"), [((1, 64, 32, 3), True), ((1, 63, 32, 3), False), ((1, 0, 32, 3), False)])
def test_a_free_length_goes_in_the_models_steps(shape: tuple[int, ...], fits: bool) -> None:
    slot = Slot("input0", TensorSpec("", "float32", (1, None, None, 3)), (32, 32, 3))
    inputs = {"input0": np.zeros(shape, np.float32)}
    if fits:
        assert in_order(inputs, [slot])[0] is inputs["input0"]
    else:
        with pytest.raises(ValueError, match=r"'input0' has shape .* multiples of \[32, 32, 3\]"):
            in_order(inputs, [slot])
