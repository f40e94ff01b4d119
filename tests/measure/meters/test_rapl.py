"""RAPL counters on powercap trees that are folders: which zones are a domain, where they wrap, and what a user can mend."""

from __future__ import annotations

import functools
import json
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npubench.analyze.counter import counter_joules
from npubench.analyze.energy import Track
from npubench.contract.runspec import MeterSpec
from npubench.measure import sampler
from npubench.measure.meters import open_meter
from npubench.measure.meters.rapl import RaplCounter
from npubench.measure.meters.sensor import MeterError, MeterSensor
from npubench.measure.sampler import sample

#: What the kernel shows of a register of 32 bits in units of 2^-14 J, which it takes for 61.035 µJ.
RANGE = 262_143_328_850

#: A machine with two sockets, memory, the whole platform, and the first socket once more by another way.
TWO_SOCKETS = {
    "intel-rapl:0": "package-0",
    "intel-rapl:0:0": "core",
    "intel-rapl:0:1": "dram",
    "intel-rapl:1": "package-1",
    "intel-rapl:1:0": "core",
    "intel-rapl:1:1": "dram",
    "intel-rapl:2": "psys",
    "intel-rapl-mmio:0": "package-0",
}


def write(file: Path, text: str) -> None:
    """Put a file in another's place at once, as the kernel's never show half a number."""
    half = file.with_name(f".{file.name}")
    half.write_text(text + "\n")
    half.replace(file)


@pytest.fixture
def powercap(tmp_path: Path) -> Callable[..., Path]:
    def build(zones: dict[str, str] = TWO_SOCKETS, highest: int = RANGE) -> Path:
        (tmp_path / "intel-rapl").mkdir()
        for n, (folder, name) in enumerate(zones.items()):
            (tmp_path / folder).mkdir()
            for file, text in (("name", name), ("energy_uj", 1000 * n), ("max_energy_range_uj", highest)):
                write(tmp_path / folder / file, str(text))
        return tmp_path

    return build


def opened(root: Path, **settings: Any) -> list[MeterSensor]:
    return list(open_meter(MeterSpec("cpu", "rapl", "chip", {"root": str(root), **settings})))


def refusal(root: Path, **settings: Any) -> str:
    with pytest.raises(MeterError) as refused:
        opened(root, **settings)
    return str(refused.value)


@pytest.mark.parametrize(
    ("zones", "names"),
    [
        ([], ["cpu package-0", "cpu package-1"]),
        (["package-1"], ["cpu package-1"]),
        (["package-0", "package-0/dram"], ["cpu package-0", "cpu package-0/dram"]),
        (["dram"], ["cpu package-0/dram", "cpu package-1/dram"]),
        (["psys"], ["cpu psys"]),
        (["package-0", "package-0"], ["cpu package-0"]),
    ],
)
def test_a_domain_is_every_package_once_or_what_is_named(
    powercap: Callable[..., Path], zones: list[str], names: list[str]
) -> None:
    sensors = opened(powercap(), zones=zones)
    assert [sensor.name for sensor in sensors] == names
    assert {(s.kind, s.domain, s.evidence, s.update_period_ns) for s in sensors} == {
        ("energy", "chip", "device energy counter", 1_000_000)
    }


def test_the_value_is_the_zones_own(powercap: Callable[..., Path]) -> None:
    (sensor,) = opened(powercap(), zones=["package-1"])
    assert sensor.read() == 3000


def test_ten_packages_are_in_the_order_of_their_numbers(powercap: Callable[..., Path]) -> None:
    root = powercap({f"intel-rapl:{n}": f"package-{n}" for n in (10, 9, 1)})
    assert [sensor.name for sensor in opened(root)] == ["cpu package-1", "cpu package-9", "cpu package-10"]


@pytest.mark.parametrize(
    ("zones", "said"),
    [
        (["package-0", "core"], "'package-0/core' is a part of 'package-0'"),
        (["psys", "package-1"], "'package-1' is a part of 'psys'"),
        (["dram", "psys"], "'package-0/dram' is a part of 'psys'"),
        (["package0"], "there is no zone 'package0'; did you mean 'package-0'?"),
    ],
)
def test_zones_that_make_no_domain_are_refused(powercap: Callable[..., Path], zones: list[str], said: str) -> None:
    sentence = refusal(powercap(), zones=zones)
    assert sentence.startswith("meter.cpu: settings: zones: ")
    assert said in sentence


def test_without_a_package_the_zones_must_be_named(powercap: Callable[..., Path]) -> None:
    assert refusal(powercap({"intel-rapl:0": "psys"})).endswith("name those that are the domain: psys")


def test_a_machine_without_rapl_is_told_what_it_lacks(tmp_path: Path) -> None:
    assert "sudo modprobe intel_rapl_msr" in refusal(tmp_path)


def test_an_unknown_setting_has_a_nearest_one(powercap: Callable[..., Path]) -> None:
    assert refusal(powercap(), zone=["dram"]) == "meter.cpu.settings: unknown key 'zone'; did you mean 'zones'?"


def test_a_file_that_only_root_may_read_says_how_to_open_it(
    powercap: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal is made here, since nothing is unreadable for root."""

    def refuse(self: RaplCounter) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(RaplCounter, "read", refuse)
    root = powercap()
    sentence = refusal(root)
    assert f"{root}/intel-rapl:0/energy_uj is not this user's to read" in sentence
    assert f"sudo chmod a+r {root}/intel-rapl:*/energy_uj" in sentence


def test_garbage_is_no_value_and_no_meter(powercap: Callable[..., Path]) -> None:
    root = powercap()
    write(root / "intel-rapl:0" / "energy_uj", "nan")
    assert "intel-rapl:0: cannot be read" in refusal(root)


# ---------------------------------------------------------------- through the sampler


@pytest.fixture(autouse=True)
def as_often_as_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a file's reading may take long once; here it is not read the more seldom for it."""
    monkeypatch.setattr(sampler, "COST_SHARE", 0)


def sampled(sensor: MeterSensor, path: Path, steps: Sequence[Callable[[], None]]) -> Any:
    """Sample while ``steps`` change the machine, each once the one before it was read; return header and columns."""
    reads = threading.Semaphore(0)
    read = sensor.read

    def counted() -> int | None:
        try:
            return read()
        finally:
            reads.release()

    sensor.read = counted  # type: ignore[method-assign]
    stop, end = os.pipe()
    told, ready = os.pipe()
    thread = threading.Thread(target=sample, args=([sensor], path, stop, ready))
    thread.start()
    try:
        assert os.read(told, 100) == b"ready\n"
        for step in steps:
            step()
            # The first of them may have begun before the step.
            for _ in range(2 + reads._value):
                assert reads.acquire(timeout=20)
    finally:
        os.close(end)
        thread.join(20)
        for descriptor in (stop, told, ready):
            os.close(descriptor)
    assert not thread.is_alive()
    with np.load(path) as stored:
        (header,) = json.loads(bytes(stored["header"]).decode())
        return header, stored["0_values"], stored["0_valid"]


def test_a_counter_that_wraps_goes_on_counting(powercap: Callable[..., Path], tmp_path: Path) -> None:
    """A package over its highest count, read by the sampler; its steps of 100 J are then laid 0.1 s apart and accounted for."""
    root = powercap({"intel-rapl:0": "package-0"})
    turn = RANGE + 61
    counts = [(RANGE - 2_000_000_000 + n * 100_000_000) % turn for n in range(42)]
    write(root / "intel-rapl:0" / "energy_uj", str(counts[0]))
    (sensor,) = opened(root)
    steps = [functools.partial(write, root / "intel-rapl:0" / "energy_uj", str(count)) for count in counts[1:]]
    header, values, valid = sampled(sensor, tmp_path / "meters.npz", steps)
    assert (header["wraps_at"], header["quantum"], header["evidence"]) == (turn, 61, "device energy counter")
    assert valid.all()
    shown = values[np.concatenate(([True], np.diff(values) != 0))]
    assert shown.tolist() == counts
    times = np.arange(len(counts)) * 100_000_000
    track = Track(times, shown, np.ones(len(counts), bool), "chip", 100_000_000, header["quantum"], header["wraps_at"])
    drawn = counter_joules(track, 0, int(times[-1])).joules
    assert drawn.value == pytest.approx(4100.0, abs=1e-3), drawn.reason


def test_a_meter_that_goes_away_leaves_readings_without_a_value(powercap: Callable[..., Path], tmp_path: Path) -> None:
    root = powercap({"intel-rapl:0": "package-0"})
    (sensor,) = opened(root)
    _, values, valid = sampled(sensor, tmp_path / "meters.npz", [functools.partial(shutil.rmtree, root / "intel-rapl:0")])
    assert valid[0]
    assert not valid[-1]
    assert values[-1] == 0
