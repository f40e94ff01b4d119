"""The conformance kit on the stand-in for ``dx_engine``: the plug-in keeps the contract; no chip is proved by it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from npubench.testing.conformance.kit import BackendConformance

FAKE = {"PYTHONPATH": str(Path(__file__).parent / "fake")}


@pytest.fixture(scope="class", autouse=True)
def handed_in(request: pytest.FixtureRequest, toy: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    request.cls.artefact = str(toy.artefact(tmp_path_factory.mktemp("file") / "toy.dxnn"))


class TestRun(BackendConformance):
    backend: ClassVar[str] = "deepx"
    env: ClassVar[Mapping[str, str]] = FAKE
    must_be_ready: ClassVar[bool] = True


class TestRunAsync(TestRun):
    options: ClassVar[Mapping[str, Any]] = {"asynchronous": True, "buffers": 5}
