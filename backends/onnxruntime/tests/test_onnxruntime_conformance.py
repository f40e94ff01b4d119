"""The conformance kit on ONNX Runtime's own CPU provider, plain and with bound outputs and several requests at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from npubench.testing.conformance.kit import BackendConformance


class TestPlain(BackendConformance):
    backend = "onnxruntime"
    device = "cpu"


class TestBound(BackendConformance):
    backend = "onnxruntime"
    device = "cpu"
    options: ClassVar[Mapping[str, Any]] = {"io_binding": True, "streams": 3, "threads": 1}
