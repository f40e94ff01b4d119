"""The conformance kit on OpenVINO's CPU device: static batches with the queue, and a free batch without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from npubench.testing.conformance.kit import BackendConformance


class TestStatic(BackendConformance):
    backend = "openvino"
    device = "cpu"
    options: ClassVar[Mapping[str, Any]] = {"batches": [1, 4], "requests": 3, "hint": "throughput"}


class TestFree(BackendConformance):
    backend = "openvino"
    device = "cpu"
    options: ClassVar[Mapping[str, Any]] = {"batches": [], "requests": 2, "asynchronous": False}
