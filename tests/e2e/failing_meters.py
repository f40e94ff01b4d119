"""A plug-in out of tree whose sensors fail, each device in its own way, as a text that a test writes for PYTHONPATH.

Its sensors count 40 W of every moment, and go wrong when the executor has served some queries of the measured window, which
comes after half a second of idle baseline: a file tells them.
"""

from __future__ import annotations

from pathlib import Path

from .acme import write_distribution

MODULE = """
import os, tempfile, time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npubench.contract import Artefact, Availability, Backend, Device, Executor, Rung, Sensor, TensorSpec

import numpy as np

PERIOD_NS = 10_000_000
FAULTS = ("good", "gone", "garbage", "unit", "stalls", "back", "hangs", "raises", "dies", "silent")


def marker(device: str) -> Path:
    return Path(tempfile.gettempdir()) / f"metered-{device.replace(':', '-')}"


class Loaded(Executor):
    inputs = (TensorSpec("x", "float32", (None, 4)),)
    outputs = (TensorSpec("y", "float32", (None, 2)),)
    max_batch = 8

    def __init__(self, device: str) -> None:
        self.marker, self.count, self.last, self.measuring = marker(device), 0, time.monotonic(), False
        self.marker.unlink(missing_ok=True)

    def execute(self, inputs: Any) -> Any:
        now = time.monotonic()
        if now - self.last > 0.4:
            self.count, self.measuring = 0, True
        self.count += 1
        time.sleep(0.001)
        self.last = time.monotonic()
        if self.measuring and self.count == 150:
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
