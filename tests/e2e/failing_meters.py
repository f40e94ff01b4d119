"""A plug-in out of tree whose sensors fail, each device in its own way, as a text that a test writes for PYTHONPATH.

Its sensors count 40 W of every moment, and go wrong when a part of the measured window is over: a file tells them. That the
window has begun the executor sees by LoadGen's log of it, which is open in its process.
"""

from __future__ import annotations

from pathlib import Path

from .acme import write_distribution

MODULE = """
import contextlib, os, tempfile, time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npubench.contract import Artefact, Availability, Backend, Device, Executor, Rung, Sensor, TensorSpec

import numpy as np

PERIOD_NS = 10_000_000
FAULTS = ("good", "gone", "garbage", "unit", "stalls", "back", "hangs", "raises", "dies", "silent")


#: How long the sensors are good in the window, s: a third of it.
GOOD_S = 0.5


def in_window() -> bool:
    for held in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if "/loadgen/measure/" in os.readlink(held):
                return True
    return False


def marker(device: str) -> Path:
    return Path(tempfile.gettempdir()) / f"metered-{device.replace(':', '-')}"


class Loaded(Executor):
    inputs = (TensorSpec("x", "float32", (None, 4)),)
    outputs = (TensorSpec("y", "float32", (None, 2)),)
    max_batch = 8

    def __init__(self, device: str) -> None:
        self.marker, self.fails_at, self.measured, self.failing = marker(device), 0.0, False, False
        self.marker.unlink(missing_ok=True)

    def execute(self, inputs: Any) -> Any:
        time.sleep(0.001)
        if not self.measured and in_window():
            self.measured, self.fails_at = True, time.monotonic() + GOOD_S
        if self.measured and not self.failing and time.monotonic() >= self.fails_at:
            self.failing = True
            self.marker.touch()
        return {"y": inputs["x"] @ np.tile(np.array([1, 2], np.float32), (4, 1))}


class Failing(Sensor):
    domain = "card"
    update_period_ns = PERIOD_NS
    quantum = 1
    averages = True

    def __init__(self, device: str, kind: str) -> None:
        self.name, self.kind = f"card {kind}", kind
        self.mode, self.marker = device.split(":")[1], marker(device)
        self.began = self.seen = 0
        self.failing = False

    def read(self) -> Any:
        now = time.monotonic_ns() // PERIOD_NS * PERIOD_NS
        self.failing = self.failing or self.marker.exists()
        if not self.began:
            self.began = now
        good = (now - self.began) * 40_000 // 1_000_000 if self.kind == "energy" else 40_000 + 100 * (now // PERIOD_NS % 3)
        if self.mode == "silent":
            return None
        if self.mode == "unit":
            return good * 1_000_000
        if not self.failing or self.mode == "good":
            self.seen = good
            return good
        if self.mode == "gone":
            raise OSError(5, "Input/output error")
        if self.mode == "garbage":
            return ["?", float("nan"), 1 << 80, -1 << 60, 1 << 60][now // PERIOD_NS % 5]
        if self.mode == "stalls":
            return self.seen
        if self.mode == "back":
            return self.seen - (now - self.began) * 40_000 // 1_000_000 if self.kind == "energy" else -10**15
        if self.mode == "hangs":
            time.sleep(600)
        if self.mode == "raises":
            raise KeyboardInterrupt
        if self.mode == "dies":
            os._exit(3)


class Metered(Backend):
    def probe(self) -> Availability:
        return Availability(Rung.READY, devices=tuple(Device(f"npu:{fault}", "METERED-1") for fault in FAULTS))

    def load(self, artefact: Artefact, device: Device, options: Any) -> Executor:
        return Loaded(device.name)

    def sensors(self, device: Device) -> list:
        return [Failing(device.name, "energy"), Failing(device.name, "power")]
"""


def write_metered(site: Path) -> Path:
    """Write the distribution ``metered`` into a folder for PYTHONPATH."""
    (site / "metered.py").write_text(MODULE)
    write_distribution(site, "metered_npu", "[npubench.backends]\nmetered = metered:Metered\n")
    return site
