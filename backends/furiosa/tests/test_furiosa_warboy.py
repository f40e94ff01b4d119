"""Warboy as a backend on a fake of its runtime: what it opens, refuses, computes and closes. Proves no answer of a chip."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from npubench.contract import Artefact, Device, Executor, Quantisation, Unsupported, WrongArtefact, parse_options
from npubench.contract.options import OptionError
from npubench_furiosa import WarboyBackend, WarboyOptions

CARD = Device("warboy:0", "Warboy", {"card": "npu0"})


@pytest.fixture
def enf(fakes, toy, tmp_path: Path) -> Callable[..., Artefact]:
    fakes("warboy")

    def make(**facts) -> Artefact:
        return Artefact(toy.artefact(tmp_path / "toy.enf", **facts), "enf", ready=True)

    return make


def load(artefact: Artefact, **options) -> Executor:
    return WarboyBackend().load(artefact, CARD, parse_options(WarboyOptions, options))


@pytest.mark.parametrize("asynchronous", [False, True])
def test_it_computes_what_the_artefact_says(enf, toy, asynchronous: bool) -> None:
    with load(enf(batch=4), asynchronous=asynchronous) as executor:
        assert executor.max_batch == 4
        assert executor.inputs[0].layout == "NCHW" and executor.outputs[0].layout == ""
        for count in (1, 3, 4):
            image = toy.image[:count]
            np.testing.assert_allclose(
                executor.execute({"image": image})["scores"], image.reshape(count, -1) @ toy.weight, rtol=1e-5
            )
        executor.close()
        with pytest.raises(RuntimeError, match="closed"):
            executor.execute({"image": toy.image[:1]})


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_returned_output_is_the_callers(enf, toy, asynchronous: bool) -> None:
    with load(enf(), asynchronous=asynchronous) as executor:
        first = executor.execute({"image": toy.image[:1]})["scores"]
        kept = first.copy()
        executor.execute({"image": toy.image[1:2]})
        np.testing.assert_array_equal(first, kept)


def test_answers_out_of_order_find_whoever_asked(enf, toy) -> None:
    found: dict[int, np.ndarray] = {}
    errors: list[BaseException] = []
    finished = threading.Event()
    with load(enf(), asynchronous=True, queue_size=4) as executor:
        assert executor.max_in_flight == 4
        permits = threading.Semaphore(4)
        for n in range(200):
            permits.acquire()

            def done(outputs, error, n=n) -> None:
                if error is not None or n in found:
                    errors.append(error or RuntimeError(f"{n} twice"))
                else:
                    found[n] = outputs["scores"]
                permits.release()
                if len(found) == 200:
                    finished.set()

            executor.submit({"image": toy.image[n % 32 : n % 32 + 1]}, done)
        assert finished.wait(30)
    assert errors == []
    for n, scores in found.items():
        np.testing.assert_allclose(scores, toy.image[n % 32].reshape(1, -1) @ toy.weight, rtol=1e-5)


def test_a_queue_that_fails_tells_everybody_once(enf, toy, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_RECV", "fails")
    with load(enf(), asynchronous=True) as executor:
        with pytest.raises(Exception, match="DMA timeout"):
            executor.execute({"image": toy.image[:1]})
        with pytest.raises(RuntimeError, match="has failed: NPU error"):
            executor.execute({"image": toy.image[:1]})


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "'image' is missing"),
        ({"image": "x", "more": "x"}, "unknown input 'more'"),
        ({"image": np.zeros((1, 3, 8, 6))}, "'image' is float64 .*; declared is float32"),
        (
            {"image": np.zeros((1, 8, 6, 3), np.float32)},
            r"'image' is float32 of shape \[1, 8, 6, 3\]; declared is float32 of shape \[1…2, 3, 8, 6\]",
        ),
        (
            {"image": np.zeros((3, 3, 8, 6), np.float32)},
            r"'image' is float32 of shape \[3, 3, 8, 6\]; declared is float32 of shape \[1…2, 3, 8, 6\]",
        ),
        ({"image": [1.0]}, "'image' is of type list, not a numpy array"),
    ],
)
def test_a_wrong_request_is_refused_by_name(enf, inputs, words: str) -> None:
    with load(enf(batch=2)) as executor, pytest.raises(ValueError, match=words):
        executor.execute(inputs)


def test_the_device_string_names_the_card(enf, monkeypatch) -> None:
    sync = importlib.import_module("furiosa.runtime.sync")
    asked = []
    real = sync.create_runner
    monkeypatch.setattr(sync, "create_runner", lambda model, **given: asked.append(given) or real(model, **given))
    second = Device("warboy:1", "Warboy", {"card": "npu3"})
    WarboyBackend().load(enf(), second, WarboyOptions(pe="1")).close()
    load(enf(), devices="warboy(1)*2", worker_num=2).close()
    assert asked == [{"device": "npu:3:1"}, {"device": "warboy(1)*2", "worker_num": 2}]


def test_integer_tensors_get_their_quantisation_from_the_options(enf) -> None:
    with load(enf(dtype="uint8"), quantisation={"image": [1 / 255, 0]}) as executor:
        assert executor.inputs[0].quantisation == Quantisation((1 / 255,), (0,))


def test_options_that_cannot_be() -> None:
    for wrong in ({"pe": "2"}, {"quantisation": {"image": [0.0, 0.0]}}, {"queue_size": 0}, {"asynchronous": 1}, {"worker": 2}):
        with pytest.raises(OptionError):
            parse_options(WarboyOptions, wrong)


def test_an_artefact_of_another_compiler(enf) -> None:
    with pytest.raises(WrongArtefact, match=r"incompatible model image.*furiosa-compiler"):
        load(enf(compiler="0.9.0"))


def test_an_artefact_of_another_chip(fakes, tmp_path: Path) -> None:
    fakes("warboy")
    other = tmp_path / "model.rbln"
    other.write_bytes(b"x")
    with pytest.raises(WrongArtefact, match=r"'\.rbln'.*\.enf"):
        load(Artefact(other, "rbln", ready=True))
    with pytest.raises(WrongArtefact, match="a folder"):
        load(Artefact(tmp_path, "folder", ready=True))


def test_a_float_graph_is_not_what_warboy_computes(model) -> None:
    backend = WarboyBackend()
    assert "host CPU" in backend.supports(model("fp32"), CARD).reason
    assert backend.supports(model("int8"), CARD).supported
    assert backend.supports(model("vendor"), CARD).supported


def test_without_the_command_a_session_compiles(fakes, model, toy, tmp_path: Path) -> None:
    fakes("warboy")
    artefact = WarboyBackend().compile(model("int8"), CARD, WarboyOptions(batch_size=2), _folder(tmp_path))
    assert (artefact.path, artefact.format) == (tmp_path / "work" / "model.onnx", "onnx")
    assert artefact.compiler == "furiosa-native-runtime 0.10.4"
    assert "furiosa-compiler is not installed" in artefact.notes["compiled by"]
    with load(artefact, batch_size=2) as executor:
        assert executor.max_batch == 2
        scores = executor.execute({"image": toy.image[:1]})["scores"]
        np.testing.assert_allclose(scores, toy.image[:1].reshape(1, -1) @ toy.weight, rtol=1e-5)


def test_a_refusal_is_the_compilers_words_and_a_fault_is_none(fakes, model, tmp_path: Path) -> None:
    fakes("warboy")
    with pytest.raises(Unsupported, match="unsupported operator Conv"):
        WarboyBackend().compile(model("int8", "Conv"), CARD, WarboyOptions(), tmp_path)
    with pytest.raises(Exception, match="DMA timeout") as caught:
        WarboyBackend().compile(model("int8", "DeviceFault"), CARD, WarboyOptions(), tmp_path)
    assert not isinstance(caught.value, Unsupported)


def test_the_command_compiles_once_for_the_cache(fakes, commands, model, toy, tmp_path: Path) -> None:
    fakes("warboy")
    backend = WarboyBackend()
    without = backend.compile_key(CARD, WarboyOptions())
    commands()
    assert backend.compile_key(CARD, WarboyOptions()) != without
    artefact = backend.compile(model("int8"), CARD, WarboyOptions(batch_size=4, pe="0"), tmp_path)
    assert artefact.path == tmp_path / "model.enf"
    assert artefact.compiler.startswith("Furiosa SDK Compiler v0.10.0")
    assert artefact.notes == {"target": "warboy", "batch": "4"}
    with load(artefact, pe="0") as executor:
        assert executor.max_batch == 4
    with pytest.raises(Unsupported, match="ended with code 1: error: unsupported operator: Conv"):
        backend.compile(model("int8", "Conv"), CARD, WarboyOptions(), tmp_path / "other")


def test_the_key_changes_with_what_compiles(fakes) -> None:
    fakes("warboy")
    backend = WarboyBackend()
    keys = {
        backend.compile_key(CARD, parse_options(WarboyOptions, options))
        for options in ({}, {"pe": "0"}, {"batch_size": 2}, {"calibration_method": "X"}, {"compiler_config": {"a": 1}})
    }
    assert len(keys) == 5
    assert backend.compile_key(CARD, WarboyOptions(asynchronous=True, streams=2)) in keys


def test_the_vendors_quantiser_sees_the_samples(fakes, model, tmp_path: Path, monkeypatch) -> None:
    fakes("warboy", "quantizer")
    monkeypatch.setattr(importlib.import_module("furiosa"), "__path__", _joined("warboy", "quantizer"))
    ranges = []
    quantizer = importlib.import_module("furiosa.quantizer")
    real = quantizer.quantize
    monkeypatch.setattr(quantizer, "quantize", lambda graph, found: ranges.append(found) or real(graph, found))
    artefact = WarboyBackend().compile(model("vendor"), CARD, WarboyOptions(), tmp_path)
    assert artefact.path == tmp_path / "quantised.onnx"
    low, high = ranges[0]["image"]
    assert 0.0 <= low < high <= 1.0
    with pytest.raises(ValueError, match="'NONE' is not one of MIN_MAX_ASYM, PERCENTILE_ASYM"):
        WarboyBackend().compile(model("vendor"), CARD, WarboyOptions(calibration_method="NONE"), tmp_path)
    with pytest.raises(Unsupported, match=r"furiosa\.quantizer: ValueError: Unsupported operator: Conv"):
        WarboyBackend().compile(model("vendor", "Conv"), CARD, WarboyOptions(), tmp_path)
    with pytest.raises(Unsupported, match="no calibration samples"):
        WarboyBackend().compile(model("vendor", calibrated=False), CARD, WarboyOptions(), tmp_path)


def _folder(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    return work


def _joined(*names: str) -> list[str]:
    return [str(Path(__file__).parent / "fake" / name / "furiosa") for name in names]


def test_without_the_quantiser_it_says_how_to_go_on(fakes, model, tmp_path: Path) -> None:
    fakes("warboy")
    with pytest.raises(Unsupported, match=r"\[warboy-quantizer\].*artefacts ="):
        WarboyBackend().compile(model("vendor"), CARD, WarboyOptions(), tmp_path)
