"""What a worker finds out beside the trace, as it stands in ``worker.json``."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import asdict, dataclass, field
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

from npubench.measure.capture import telling_environment

#: Environment variables that change how runtimes behave, by prefix.
_TELLING = (
    *("OMP_", "GOMP_", "MKL_", "OPENBLAS_", "KMP_", "TBB_", "ORT_", "OV_", "OPENVINO_", "CUDA_", "TF_", "XLA_", "TVM_"),
    *("NVIDIA_", "HIP_", "ROCR_", "RBLN_", "FURIOSA_", "MBLT_", "MOBILINT_", "QBRUNTIME_", "DXRT_", "HAILO_", "IREE_"),
    *("LD_PRELOAD", "LD_LIBRARY_PATH", "MALLOC_", "GLIBC_TUNABLES", "PYTHONPATH", "PYTHONMALLOC"),
)


@dataclass(slots=True)
class Observed:
    """The worker's account; filled phase by phase."""

    phases: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    power_limit: dict[str, Any] = field(default_factory=dict)
    device: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    plugin: dict[str, str] = field(default_factory=dict)
    artefact: dict[str, Any] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)
    exclusions: list[str] = field(default_factory=list)
    residue: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    #: What passed in this process over the window; see ``npubench.measure.client.account``.
    client: dict[str, Any] = field(default_factory=dict)
    #: Bytes that the harness itself kept of outputs by the window's end, to look at them after it.
    kept_bytes: int = 0
    #: Facts of how the device hangs on the host; see ``npubench.contract.facts``.
    captured: dict[str, str] = field(default_factory=dict)
    #: How many warm-up windows were run, whether the last two agree, and by how much they differ.
    warm_up: dict[str, int | float | bool | None] = field(default_factory=dict)
    #: Start and end of the ranging run's load, ns; empty where none was made.
    ranging: dict[str, int] = field(default_factory=dict)
    python: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    loadgen: str = ""

    def look_around(self) -> None:
        """Note this interpreter: its version, its distributions, LoadGen's version, and the telling environment."""
        self.python = sys.version.split()[0]
        self.packages = _packages()
        self.environment = telling_environment(os.environ, _TELLING)
        self.loadgen = version("mlcommons-loadgen")

    def write(self, path: Path) -> None:
        """Write it whole or not at all."""
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(self)), encoding="utf-8")
        temporary.replace(path)


def _packages() -> dict[str, str]:
    """Return the distributions of this interpreter; one with damaged metadata is left out."""
    found: dict[str, str] = {}
    for distribution in distributions():
        with contextlib.suppress(Exception):
            found[str(distribution.metadata["Name"])] = str(distribution.version)
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))
