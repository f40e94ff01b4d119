"""An NVML meter against a stand-in for the package ``pynvml``: no GPU is here, so the readings of a real one are unverified.

What the stand-in proves: units, which sensors there are, which GPU is meant, and every refusal in words. Its names are held
against NVIDIA's own package where that is installed, and so is what a machine without the driver says.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from npubench.contract.runspec import MeterSpec
from npubench.measure.meters import nvml, open_meter
from npubench.measure.meters.sensor import MeterError, MeterSensor


class NVMLError(Exception):
    pass


class NVMLError_NotSupported(NVMLError):  # noqa: N801, N818 - NVIDIA's name
    pass


class NVMLError_FunctionNotFound(NVMLError):  # noqa: N801, N818
    pass


class NVMLError_NotFound(NVMLError):  # noqa: N801, N818
    pass


class NVMLError_InvalidArgument(NVMLError):  # noqa: N801, N818
    pass


class NVMLError_GpuIsLost(NVMLError):  # noqa: N801, N818
    pass


#: What a call that nobody has asked for otherwise returns of GPU ``n``.
VALUES: dict[str, Callable[[int], Any]] = {
    "nvmlDeviceGetTotalEnergyConsumption": lambda n: 5_000 + n,
    "nvmlDeviceGetPowerUsage": lambda n: 71_250 + n,
    "nvmlDeviceGetCurrentClocksEventReasons": lambda n: 0x1,
    "nvmlDeviceGetCurrentClocksThrottleReasons": lambda n: 0x40,
    "nvmlDeviceGetMigMode": lambda n: [0, 0],
    "nvmlDeviceGetUUID": lambda n: f"GPU-{n}{n}{n}",
}


class FakeNvml:
    """The names of ``pynvml`` that the meter uses, of ``count`` GPUs; ``answers`` replaces what a call returns or raises."""

    NVMLError = NVMLError
    NVMLError_NotSupported = NVMLError_NotSupported
    NVMLError_FunctionNotFound = NVMLError_FunctionNotFound
    NVMLError_NotFound = NVMLError_NotFound
    NVMLError_InvalidArgument = NVMLError_InvalidArgument
    NVML_CLOCK_SM, NVML_TEMPERATURE_GPU, NVML_DEVICE_MIG_ENABLE = 1, 0, 1
    nvmlClocksEventReasonSwPowerCap = 0x4  # noqa: N815
    nvmlClocksEventReasonHwSlowdown = 0x8  # noqa: N815
    nvmlClocksEventReasonSwThermalSlowdown = 0x20  # noqa: N815
    nvmlClocksEventReasonHwThermalSlowdown = 0x40  # noqa: N815
    nvmlClocksEventReasonHwPowerBrakeSlowdown = 0x80  # noqa: N815

    def __init__(self) -> None:
        self.count = 1
        self.held = 0
        self.answers: dict[str, Any] = {}

    def _call(self, name: str, gpu: int) -> Any:
        assert self.held > 0, f"{name} after the library was closed"
        answer = self.answers.get(name, VALUES[name](gpu))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def nvmlInit(self) -> None:  # noqa: N802
        if "nvmlInit" in self.answers:
            raise self.answers["nvmlInit"]
        self.held += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.held -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:  # noqa: N802
        found = [n for n in range(self.count) if f"GPU-{n}{n}{n}" == uuid]
        if not found:
            raise NVMLError_NotFound("Not Found")
        return found[0]

    def nvmlDeviceGetMigMode(self, device: int) -> Any:  # noqa: N802
        return self._call("nvmlDeviceGetMigMode", device)

    def nvmlDeviceGetUUID(self, handle: int) -> Any:  # noqa: N802
        return self._call("nvmlDeviceGetUUID", handle)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> Any:  # noqa: N802
        return self._call("nvmlDeviceGetTotalEnergyConsumption", handle)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> Any:  # noqa: N802
        return self._call("nvmlDeviceGetPowerUsage", handle)

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: int) -> Any:  # noqa: N802
        return self._call("nvmlDeviceGetCurrentClocksEventReasons", handle)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: int) -> Any:  # noqa: N802
        return self._call("nvmlDeviceGetCurrentClocksThrottleReasons", handle)

    def nvmlDeviceGetClockInfo(self, handle: int, type: int) -> int:  # noqa: N802
        assert type == self.NVML_CLOCK_SM
        return 1980

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:  # noqa: N802
        assert sensor == self.NVML_TEMPERATURE_GPU
        return 61


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    stand_in = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", stand_in)  # type: ignore[arg-type]
    return stand_in


def opened(**settings: Any) -> list[MeterSensor]:
    return list(open_meter(MeterSpec("gpu", "nvml", "card", settings)))


def refusal(**settings: Any) -> str:
    with pytest.raises(MeterError) as refused:
        opened(**settings)
    return str(refused.value)


def test_everything_a_gpu_has_is_a_sensor_in_the_contracts_units(fake: FakeNvml) -> None:
    sensors = opened()
    assert [(s.name, s.kind, s.read(), s.quantum) for s in sensors] == [
        ("gpu energy", "energy", 5_000_000, 1000),
        ("gpu power", "power", 71_250, None),
        ("gpu clock", "clock", 1_980_000_000, 1_000_000),
        ("gpu temperature", "temperature", 61_000, 1000),
        ("gpu held down by heat or hardware", "throttle", 0, 1),
        ("gpu held down by its power limit", "throttle", 0, 1),
    ]
    assert [s.evidence for s in sensors[:2]] == ["device energy counter", "device power gauge"]
    assert {(s.domain, s.update_period_ns, s.averages, s.wraps_at) for s in sensors} == {("card", None, None, None)}


@pytest.mark.parametrize(
    ("reasons", "heat", "limit"),
    [(0x0, 0, 0), (0x1, 0, 0), (0x2, 0, 0), (0x10, 0, 0), (0x100, 0, 0), (0x4, 0, 1), (0x8, 1, 0), (0x20, 1, 0), (0xC5, 1, 1)],
)
def test_an_idle_card_or_one_with_set_clocks_is_not_throttled(fake: FakeNvml, reasons: int, heat: int, limit: int) -> None:
    fake.answers["nvmlDeviceGetCurrentClocksEventReasons"] = reasons
    assert [s.read() for s in opened() if s.kind == "throttle"] == [heat, limit]


def test_an_older_driver_is_asked_by_the_name_that_it_knows(fake: FakeNvml) -> None:
    fake.answers["nvmlDeviceGetCurrentClocksEventReasons"] = NVMLError_FunctionNotFound("Function Not Found")
    assert [s.read() for s in opened() if s.kind == "throttle"] == [1, 0]


def test_what_a_card_does_not_have_is_no_sensor(fake: FakeNvml) -> None:
    fake.answers["nvmlDeviceGetTotalEnergyConsumption"] = NVMLError_NotSupported("Not Supported")
    fake.answers["nvmlDeviceGetCurrentClocksEventReasons"] = NVMLError_NotSupported("Not Supported")
    assert [s.kind for s in opened()] == ["power", "clock", "temperature"]
    fake.answers["nvmlDeviceGetPowerUsage"] = NVMLError_NotSupported("Not Supported")
    assert "shows neither energy nor power" in refusal()


def test_the_library_is_closed_with_its_last_sensor_and_a_second_close_does_nothing(fake: FakeNvml) -> None:
    sensors = opened()
    assert fake.held == len(sensors)
    for sensor in (*sensors, *sensors):
        sensor.close()
    assert fake.held == 0


def test_one_of_several_gpus_must_be_named(fake: FakeNvml) -> None:
    fake.count = 2
    assert refusal().endswith("of 0 (GPU-000), 1 (GPU-111)")
    assert opened(index=1)[1].read() == 71_251
    assert opened(uuid="GPU-111")[1].read() == 71_251
    assert "there is no GPU 2; there are 0 (GPU-000), 1 (GPU-111)" in refusal(index=2)
    assert "there is no GPU 'GPU-222'; there are 0 (GPU-000)" in refusal(uuid="GPU-222")
    assert refusal(index=0, uuid="GPU-000") == "meter.gpu.settings: give either index or uuid"
    assert refusal(uid="GPU-000") == "meter.gpu.settings: unknown key 'uid'; did you mean 'uuid'?"


@pytest.mark.parametrize("settings", [{}, {"uuid": "MIG-1234"}])
def test_a_partition_has_no_power_of_its_own(fake: FakeNvml, settings: dict[str, Any]) -> None:
    fake.answers["nvmlDeviceGetMigMode"] = [1, 1]
    assert "NVML has the energy and power of the whole card alone" in refusal(**settings)
    assert fake.held == 0


def test_a_card_that_cannot_be_split_is_read(fake: FakeNvml) -> None:
    fake.answers["nvmlDeviceGetMigMode"] = NVMLError_NotSupported("Not Supported")
    assert opened()


def test_a_missing_driver_no_gpu_and_a_lost_one_are_told_apart(fake: FakeNvml) -> None:
    fake.answers["nvmlDeviceGetPowerUsage"] = NVMLError_GpuIsLost("GPU is lost")
    assert refusal() == "meter.gpu: NVML refuses: GPU is lost; see nvidia-smi"
    fake.count = 0
    assert "NVIDIA's driver shows no GPU" in refusal()
    fake.answers["nvmlInit"] = NVMLError("NVML Shared Library Not Found")
    assert "driver is missing or not loaded (NVML Shared Library Not Found)" in refusal()


def test_a_missing_package_is_said_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert refusal() == "meter.gpu: the package nvidia-ml-py is missing; pip install 'npubench[meters]'"


# ---------------------------------------------------------------- against NVIDIA's own package


def used() -> Iterator[str]:
    """Yield every name of ``pynvml`` that the meter uses."""
    module = ast.parse(Path(nvml.__file__).read_text(encoding="utf-8"))
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "nvml":
            yield node.attr
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("nvmlClocks"):
            yield node.value


def test_every_name_the_meter_uses_is_in_the_stand_in() -> None:
    names = set(used())
    assert {"nvmlInit", "nvmlDeviceGetPowerUsage", "nvmlClocksEventReasonSwPowerCap", "NVMLError_NotFound"} <= names
    assert {name for name in names if not hasattr(FakeNvml, name)} == set()


def shape(value: Any) -> Any:
    """Return what of a name can be compared: a constant's value, an error's kind, a function's parameters."""
    if isinstance(value, int):
        return value
    return "error" if isinstance(value, type) else [name for name in inspect.signature(value).parameters if name != "self"]


def test_the_stand_in_is_as_nvidias_package_was() -> None:
    """The names were written down from nvidia-ml-py 13.615.71."""
    written = json.loads((Path(__file__).parent / "nvml_surface.json").read_text(encoding="utf-8"))
    assert {name: shape(getattr(FakeNvml, name)) for name in sorted(set(used()))} == written


@pytest.fixture
def package() -> Any:
    return pytest.importorskip("pynvml", reason="NVIDIA's package nvidia-ml-py is not installed")


def test_the_stand_in_is_as_the_installed_package_is(package: Any) -> None:
    names = sorted(set(used()))
    assert {name: shape(getattr(FakeNvml, name)) for name in names} == {name: shape(getattr(package, name)) for name in names}


def test_a_machine_without_the_driver_is_told_so_by_nvidias_package(package: Any) -> None:
    try:
        package.nvmlInit()
    except package.NVMLError:
        assert "NVIDIA's driver is missing or not loaded (NVML Shared Library Not Found)" in refusal()
    else:
        package.nvmlShutdown()
        pytest.skip("this machine has NVIDIA's driver")
