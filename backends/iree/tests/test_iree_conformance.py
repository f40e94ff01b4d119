"""The conformance kit on IREE's CPU: the way of an NPU (compile, artefact, load, run) without one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from npubench.testing.conformance.kit import BackendConformance


class TestBatched(BackendConformance):
    backend = "iree"
    device = "cpu"
    options: ClassVar[Mapping[str, Any]] = {"batch": 4}
