"""The conformance kit on stand-ins for ``rebel`` and ``rbln-smi``: the plug-in keeps the contract; no chip is proved by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from npubench.testing.conformance.kit import BackendConformance

FACTS = {
    "npu": "RBLN-CA22",
    "compiler_version": "0.12.0",
    "tensor_parallel_size": None,
    "inputs": [{"name": "image", "shape": [1, 3, 8, 6], "dtype": "float32"}],
    "outputs": [{"name": None, "shape": [1, 5], "dtype": "float32"}],
}


@pytest.fixture(scope="class", autouse=True)
def host(
    request: pytest.FixtureRequest,
    toy: Any,
    tmp_path_factory: pytest.TempPathFactory,
    smi: Callable[..., str],
    npu: Callable[..., Any],
    fake_rebel: Path,
) -> None:
    request.cls.artefact = str(toy.artefact(tmp_path_factory.mktemp("file") / "toy.rbln", **FACTS))
    request.cls.env = {"PYTHONPATH": str(fake_rebel), "PATH": smi([npu(0)])}


class TestRuntime(BackendConformance):
    backend: ClassVar[str] = "rebellions"
    must_be_ready: ClassVar[bool] = True


class TestAsyncRuntime(TestRuntime):
    options: ClassVar[Mapping[str, Any]] = {"asynchronous": True, "in_flight": 4}
