"""The contract's page: what it exports, what it needs, and what a plug-in gets for nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import npubench.contract as contract
from npubench.contract import Artefact, Availability, Backend, Device, Executor, Model, NoOptions, Offload, Rung, Tensors, submits

#: Imports the contract, and what else runs inside a vendor's environment, where nothing but ``allowed`` can be imported.
BLOCKED = """
import sys
allowed = set(sys.argv[1].split(",")) | sys.stdlib_module_names | {"npubench"}

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed:
            raise ModuleNotFoundError("blocked: " + name, name=name)

sys.meta_path.insert(0, Blocker())
for name in sys.argv[2:]:
    __import__(name)
"""


def imports(allowed: str, *modules: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCKED, allowed, *modules], capture_output=True, text=True, timeout=300, check=False
    )


def test_all_lists_exactly_what_is_exported() -> None:
    names = [
        name
        for name, value in vars(contract).items()
        if not name.startswith("_") and not isinstance(value, type(sys)) and name != "annotations"
    ]
    assert sorted(names) == sorted(contract.__all__)  # its order is ruff's (RUF022)


def test_the_contract_needs_the_standard_library_and_numpy_alone() -> None:
    modules = [f"npubench.contract.{path.stem}" for path in Path(contract.__path__[0]).glob("*.py") if path.stem != "__init__"]
    done = imports("numpy", "npubench.contract", *modules)
    assert done.returncode == 0, done.stderr


def test_worker_and_sampler_need_numpy_and_loadgen_beside_it() -> None:
    modules = ("worker", "sampler", "survey", "profiler")
    done = imports("numpy,mlperf_loadgen", *(f"npubench.measure.{name}" for name in modules))
    assert done.returncode == 0, done.stderr


def test_the_blocker_blocks() -> None:
    assert imports("numpy", "npubench.record.schema").returncode != 0


class Smallest(Backend):
    def probe(self) -> Availability:
        return Availability(Rung.READY, devices=(Device("d", "D-1"),))

    def load(self, artefact: Artefact, device: Device, options: Any) -> Executor:
        return Doubling()


class Doubling(Executor):
    inputs = ()
    outputs = ()
    closed = 0

    def execute(self, inputs: Tensors) -> Tensors:
        return {"y": 2 * np.asarray(inputs["x"])}

    def close(self) -> None:
        self.closed += 1


class Submitting(Doubling):
    def submit(self, inputs: Tensors, done: contract.Done) -> None:
        done(self.execute(inputs), None)


def test_three_methods_make_a_plug_in(tmp_path: Path) -> None:
    backend = Smallest()
    device = backend.probe().devices[0]
    model = Model(tmp_path / "m.onnx", "sha256:1", "w", "fp32", (), ())
    artefact = backend.compile(model, device, NoOptions(), tmp_path)
    assert backend.supports(model, device).supported
    assert (artefact.path, artefact.format, artefact.ready) == (model.path, "onnx", False)
    assert backend.sensors(device) == ()
    assert backend.load(artefact, device, NoOptions()).offload() is None


def test_submit_counts_only_where_it_is_brought_along() -> None:
    assert not submits(Doubling())
    assert submits(Submitting())


def test_an_executor_is_closed_at_the_end_of_its_block() -> None:
    with Doubling() as executor:
        assert executor.closed == 0
    assert executor.closed == 1


def test_offload_without_operators_has_no_ratio() -> None:
    assert Offload(0, 0, "x").ratio is None
    assert Offload(3, 1, "x").ratio == 0.75


def test_a_rung_is_written_in_lower_case_and_higher_ones_include_lower() -> None:
    assert Rung.DRIVER_MISSING.word == "driver_missing"
    assert Rung.NOT_INSTALLED < Rung.SDK_BROKEN < Rung.DRIVER_MISSING < Rung.NO_DEVICE < Rung.READY
