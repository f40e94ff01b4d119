"""RNGD as a backend on fakes of torch, onnx2torch and furiosa.torch: the calls, their order, and how each trap is met.

The fakes are a few hundred lines: they prove what the plug-in does, and nothing of torch, of the compiler, or of a chip.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from npubench.contract import Artefact, Device, Model, Offload, TensorSpec, Unsupported, WrongArtefact, parse_options
from npubench.contract.options import OptionError
from npubench_furiosa import FuriosaBackend, RngdOptions
from npubench_furiosa.rngd import torch_device

CARD = Device("rngd:0", "RNGD", {"card": "npu0"})


@pytest.fixture
def compiled(fakes, model, tmp_path: Path) -> Callable[..., Artefact]:
    """Return a function that compiles toy, in a child process as always, and returns the artefact."""
    fakes("rngd", "smi")
    made = iter(range(99))

    def make(given: Model | None = None, **options) -> Artefact:
        work = tmp_path / f"work{next(made)}"
        work.mkdir()
        return FuriosaBackend().compile(given or model("fp32"), CARD, parse_options(RngdOptions, options), work)

    return make


def load(artefact: Artefact, device: Device = CARD, **options):
    return FuriosaBackend().load(artefact, device, parse_options(RngdOptions, options))


def test_a_child_compiles_and_loading_finds_it_compiled(compiled, toy, tmp_path: Path) -> None:
    artefact = compiled(batch=4)
    assert artefact.path.is_dir() and artefact.format == "rngd"
    assert (tmp_path / "compiles").read_text() == "float32 False\n"
    before = sorted(p.name for p in artefact.path.rglob("*"))
    with load(artefact, batch=4) as executor:
        assert executor.inputs == [TensorSpec("image", "float32", (4, 3, 8, 6), "NCHW")]
        assert executor.outputs == [TensorSpec("scores", "float32", (4, 5))]
        assert executor.max_batch == 4
        for count in (1, 4):
            image = toy.image[:count].copy()
            image.setflags(write=False)
            scores = executor.execute({"image": image})["scores"]
            np.testing.assert_allclose(scores, image.reshape(count, -1) @ toy.weight, rtol=1e-5)
        assert executor.offload() == Offload(2, 0, executor.offload().source)
        assert executor.notes()["PEs used"] == "1 of 8"
    executor.close()
    with pytest.raises(RuntimeError, match="closed"):
        executor.execute({"image": toy.image[:1]})
    assert (tmp_path / "compiles").read_text() == "float32 False\n", "loading compiled once more"
    assert sorted(p.name for p in artefact.path.rglob("*")) == before


def test_a_lost_cache_only_costs_time(compiled, tmp_path: Path) -> None:
    artefact = compiled()
    for file in (artefact.path / "cache").iterdir():
        file.unlink()
    load(artefact).close()
    assert len((tmp_path / "compiles").read_text().splitlines()) == 2
    assert list((artefact.path / "cache").iterdir()) == [], "loading wrote into the artefact"


def test_a_refused_network_is_unsupported_with_the_compilers_words(compiled, model) -> None:
    with pytest.raises(Unsupported, match=r"UnsupportedOpError: align_up_required: Conv2d\(512"):
        compiled(model("fp32", "Conv"))


def test_a_graph_that_is_not_converted_is_unsupported(compiled, model) -> None:
    with pytest.raises(Unsupported, match="onnx2torch: NotImplementedError: Converter is not implemented"):
        compiled(model("fp32", "NotConverted"))


def test_a_compiler_that_aborts_the_process_is_unsupported(compiled, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_COMPILER", "abort")
    with pytest.raises(Unsupported, match=r"aborted the process \(SIGABRT\).*EdgeIndex\(162\) has empty transition cost table"):
        compiled()


def test_an_abort_for_want_of_the_driver_is_not_the_models_fault(compiled, monkeypatch) -> None:
    """The words are those with which the real release ended where there was no card; the cause stands before two backtraces."""
    monkeypatch.setenv("FAKE_COMPILER", "abort by the HAL")
    with pytest.raises(RuntimeError, match=r"not by the model.*librenegade\.so") as caught:
        compiled()
    assert "PyObject_Vectorcall" not in str(caught.value)


def test_a_missing_toolchain_is_not_the_models_fault(compiled, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_COMPILER", "no toolchain")
    with pytest.raises(RuntimeError, match=r"not by the model.*No such file or directory"):
        compiled()


def test_a_card_that_is_not_there_is_not_the_models_fault(compiled, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_RNGD", "0")
    with pytest.raises(RuntimeError, match="OutOfMemoryError: failed to allocate 16 bytes"):
        compiled()


def test_without_onnx2torch_it_says_how_to_get_it(compiled, monkeypatch, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "onnx2torch.py").write_text("raise ModuleNotFoundError(\"No module named 'onnx2torch'\", name='onnx2torch')")
    monkeypatch.setenv("PYTHONPATH", f"{blocked}:{__import__('os').environ['PYTHONPATH']}")
    with pytest.raises(Unsupported, match="pip install 'onnx2torch"):
        compiled()


def test_bfloat16_is_another_precision(compiled, model, toy, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="fp32 means float32"):
        compiled(dtype="bfloat16")
    with pytest.raises(Unsupported, match="vendor is computed in bfloat16"):
        compiled(model("vendor"))
    artefact = compiled(model("vendor"), dtype="bfloat16")
    assert (tmp_path / "compiles").read_text() == "bfloat16 None\n"
    with load(artefact, dtype="bfloat16") as executor:
        scores = executor.execute({"image": toy.image[:1]})["scores"]
        exact = toy.image[:1].reshape(1, -1) @ toy.weight
        assert scores.dtype == np.float32
        assert 0 < np.abs(scores - exact).max() < 0.05 * np.abs(exact).max() + 1
        assert executor.notes()["computes in"] == "bfloat16"


def test_what_is_not_float_or_not_fixed_is_not_supported(model) -> None:
    backend = FuriosaBackend()
    assert backend.supports(model("fp32"), CARD).supported
    assert "int8" in backend.supports(model("int8"), CARD).reason
    free = replace(model("fp32"), inputs=(TensorSpec("ids", "int64", (None, None)),))
    assert "'ids' has a free axis" in backend.supports(free, CARD).reason


def test_host_operators_are_allowed_or_not_and_never_counted_as_none(compiled, model) -> None:
    artefact = compiled(model("fp32", "Conv"), allow_host_operators=True)
    with load(artefact, allow_host_operators=True) as executor:
        assert executor.offload() is None
    with load(compiled()) as executor:
        config = importlib.import_module("furiosa.torch.config")
        assert config.set_cpu_fallback(False) is False


def test_torch_counts_logical_devices_over_all_cards() -> None:
    second = Device("rngd:1", "RNGD")
    assert torch_device(second, RngdOptions()) == "furiosa:8"
    assert torch_device(second, RngdOptions(pe=3)) == "furiosa:11"
    assert torch_device(second, RngdOptions(fusion=4, pe=1)) == "furiosa:3"
    assert torch_device(second, RngdOptions(fusion=8)) == "furiosa:1"


def test_options_that_cannot_be() -> None:
    for wrong in (
        {"fusion": 3},
        {"fusion": 16},
        {"pe": 8},
        {"fusion": 8, "pe": 1},
        {"batch": 0},
        {"dtype": "int8"},
        {"batch": 1.0},
    ):
        with pytest.raises(OptionError):
            parse_options(RngdOptions, wrong)


def test_fusion_is_set_once_a_process(compiled) -> None:
    artefact = compiled(fusion=8)
    with load(artefact, fusion=8) as executor:
        assert executor.notes()["PEs used"] == "8 of 8"
    load(artefact, fusion=8).close()
    other = compiled(fusion=4)
    with pytest.raises(RuntimeError, match="fusion = 4 cannot be set: this process has fused 8 PEs"):
        load(other, fusion=4)


def test_a_wrong_hint_names_the_right_ones(compiled) -> None:
    with pytest.raises(RuntimeError, match="'Vision' is not one of Default, ForVisionModel, NoConstraint"):
        compiled(tactic_hint="Vision")


def test_an_artefact_for_another_chip_release_or_option(compiled, tmp_path: Path) -> None:
    artefact = compiled()
    with pytest.raises(WrongArtefact, match="compiled for RNGD, and this is RNGD-Max"):
        load(artefact, Device("rngd:0", "RNGD-Max"))
    with pytest.raises(WrongArtefact, match="compiled with batch = 1, and the target asks for 2"):
        load(artefact, batch=2)
    facts = artefact.path / "facts.json"
    data = json.loads(facts.read_text())
    facts.write_text(json.dumps({**data, "versions": {"furiosa-torch": "2026.3.0"}}))
    with pytest.raises(
        WrongArtefact, match=r"with furiosa-torch 2026\.3\.0, and here is 2026\.4\.0; .* install furiosa-torch 2026\.3\.0"
    ):
        load(artefact)
    other = tmp_path / "model.fxb"
    other.write_bytes(b"x")
    with pytest.raises(WrongArtefact, match="furiosa-llm"):
        load(Artefact(other, "fxb", ready=True))


def test_the_key_changes_with_what_compiles(monkeypatch) -> None:
    backend = FuriosaBackend()
    options = ({}, {"fusion": 8}, {"dtype": "bfloat16"}, {"batch": 2}, {"tactic_hint": "X"}, {"allow_host_operators": True})
    keys = {backend.compile_key(CARD, parse_options(RngdOptions, each)) for each in options}
    assert len(keys) == len(options)
    assert backend.compile_key(CARD, RngdOptions(pe=3)) in keys
    monkeypatch.setattr("npubench_furiosa.rngd.sdk_versions", lambda: {"furiosa-torch": "2026.5.0"})
    assert backend.compile_key(CARD, RngdOptions()) not in keys
