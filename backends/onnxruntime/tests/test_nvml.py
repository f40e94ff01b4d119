"""The power limit of a GPU: which calls are made of NVML, and what its answers become.

The library is a stand-in, as nvml.h has it. It proves every call the plug-in makes, and no answer of a GPU; the last test asks
a real one, where there is one, and sets nothing.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

import npubench_onnxruntime
from npubench.contract import Device
from npubench.contract.power_limit import can_set
from npubench_onnxruntime import OnnxRuntimeBackend
from npubench_onnxruntime.nvidia import look_for_gpus
from npubench_onnxruntime.nvml import NvmlError, NvmlPowerLimit, power_limit

PCI = "0000:01:00.0"


@dataclass
class LibNvml:
    """The part of libnvidia-ml that is asked: 0 = success; ``codes`` are what some calls return instead."""

    limit: int = 300_000
    codes: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.nvmlErrorString = lambda code: b"Unknown Error" if code == 999 else None
        self.nvmlErrorString = SimpleFunction(self.nvmlErrorString)  # type: ignore[assignment]

    def nvmlInit_v2(self) -> int:  # noqa: N802
        return self._code("init")

    def nvmlDeviceGetHandleByPciBusId_v2(self, pci: bytes, handle: Any) -> int:  # noqa: N802
        self.asked.append(("handle", pci.decode()))
        handle._obj.value = 0xCAFE
        return self._code("handle")

    def nvmlDeviceGetPowerManagementLimit(self, handle: ctypes.c_void_p, limit: Any) -> int:  # noqa: N802
        assert handle.value == 0xCAFE
        limit._obj.value = self.limit
        return self._code("get")

    def nvmlDeviceGetPowerManagementLimitConstraints(self, handle: Any, low: Any, high: Any) -> int:  # noqa: N802
        low._obj.value, high._obj.value = 100_000, 350_000
        return self._code("constraints")

    def nvmlDeviceSetPowerManagementLimit(self, handle: Any, limit: ctypes.c_uint) -> int:  # noqa: N802
        self.asked.append(("set", limit.value))
        code = self._code("set")
        if code == 0:
            self.limit = limit.value
        return code

    def _code(self, name: str) -> int:
        return self.codes.get(name, 0)


class SimpleFunction:
    """A function with a ``restype``, as ctypes has them."""

    restype: Any = None

    def __init__(self, call: Any) -> None:
        self.call = call

    def __call__(self, code: int) -> Any:
        return self.call(code)


def opened(library: LibNvml) -> NvmlPowerLimit:
    found = power_limit(PCI, lambda: library)
    assert found is not None
    return found


def test_the_gpu_is_found_by_its_address_and_read_in_milliwatts() -> None:
    library = LibNvml()
    limit = opened(library)
    assert library.asked == [("handle", PCI)]
    assert (limit.read(), limit.bounds(), can_set(limit)) == (300_000, (100_000, 350_000), True)
    limit.set(150_000)
    assert library.asked[1:] == [("set", 150_000)]
    assert limit.read() == 150_000


def test_who_is_not_root_is_told_so() -> None:
    with pytest.raises(PermissionError, match="root's alone"):
        opened(LibNvml(codes={"set": 4})).set(150_000)


def test_nvmls_own_words_are_kept() -> None:
    with pytest.raises(NvmlError, match=r"nvmlDeviceSetPowerManagementLimit: Unknown Error"):
        opened(LibNvml(codes={"set": 999})).set(150_000)
    with pytest.raises(NvmlError, match=f"no GPU at {PCI}: error 6"):
        power_limit(PCI, lambda: LibNvml(codes={"handle": 6}))


def test_what_a_gpu_does_not_have_is_none() -> None:
    assert power_limit(PCI, lambda: LibNvml(codes={"get": 3})) is None
    limit = opened(LibNvml(codes={"constraints": 3, "set": 3}))
    assert limit.bounds() is None
    with pytest.raises(NvmlError, match="cannot be set"):
        limit.set(150_000)


def test_without_the_library_there_is_no_limit() -> None:
    def missing() -> Any:
        raise OSError("libnvidia-ml.so.1: cannot open shared object file")

    assert power_limit(PCI, missing) is None


@pytest.mark.parametrize(
    ("provider", "pci", "asked"),
    [
        ("CUDAExecutionProvider", PCI, True),
        ("TensorrtExecutionProvider", PCI, True),
        ("CUDAExecutionProvider", "", False),
        ("CPUExecutionProvider", PCI, False),
    ],
)
def test_devices_on_a_gpu_have_its_limit(monkeypatch: pytest.MonkeyPatch, provider: str, pci: str, asked: bool) -> None:
    monkeypatch.setattr(npubench_onnxruntime, "power_limit", lambda address: SimpleNamespace(address=address))
    found: Any = OnnxRuntimeBackend().power_limit(Device("x:0", "X", {"provider": provider, **({"pci": pci} if pci else {})}))
    assert (found.address if found else "") == (PCI if asked else "")


def test_a_real_gpus_limit_lies_within_its_bounds() -> None:
    seen = look_for_gpus()
    if not seen.gpus:
        pytest.skip(f"needs a GPU: {seen.reason} on this machine")
    limit = power_limit(seen.gpus[0].pci)
    if limit is None:
        pytest.skip("this GPU has no power limit")
    value, bounds = limit.read(), limit.bounds()
    assert value is not None and bounds is not None and bounds[0] <= value <= bounds[1]
