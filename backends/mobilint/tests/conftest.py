"""Stand-ins for Mobilint's packages, in this process and for others."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

FAKE = Path(__file__).parent / "fake"
PACKAGES = ("qbruntime", "maccel", "mbltml")


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Return ``vendor(meter=…, machine=…, meters=…)``: puts stand-ins on this process's path; returns the plug-in."""

    def clear() -> None:
        for name in PACKAGES:
            sys.modules.pop(name, None)

    def put(
        meter: str | None = "meter_new",
        machine: dict[str, Any] | None = None,
        meters: list[Any] | None = None,
        runtime: bool = True,
    ) -> Any:
        clear()
        if runtime:
            monkeypatch.syspath_prepend(str(FAKE / "runtime"))
        if meter:
            monkeypatch.syspath_prepend(str(FAKE / meter))
        monkeypatch.setenv("FAKE_MOBILINT", json.dumps({"devices": {"aries-rb": [0]}} if machine is None else machine))
        monkeypatch.setenv("FAKE_MBLTML", json.dumps({} if meters is None else {"devices": meters}))
        return importlib.import_module("npubench_mobilint")

    yield put
    clear()


@pytest.fixture
def load(vendor: Callable[..., Any], toy: Any, tmp_path: Path) -> Any:
    """Return ``load(options, machine=…, **facts)``: an executor of the toy artefact on the first device of the machine."""

    def make(options: dict[str, Any] | None = None, machine: dict[str, Any] | None = None, **facts: Any) -> Any:
        from npubench.contract import Artefact, parse_options

        package = vendor(machine=machine, meters=[[3, "/dev/aries0"], [4, "/dev/regulus-npu0"]])
        backend = package.MobilintBackend()
        found = backend.probe()
        assert found.devices, found
        path = toy.artefact(tmp_path / "toy.mxq", **facts)
        return backend.load(Artefact(path, "mxq", ready=True), found.devices[0], parse_options(backend.Options, options or {}))

    return make
