"""What a target may say to OpenVINO."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class OpenVinoOptions:
    """Options of a compiled model.

    Args:
        precision: What floating-point operators compute in. ``auto`` = as the workload says: f32 for ``fp32`` and for what
            is not quantised in ``int8``, f16 for ``fp16``, bf16 for ``bf16``. OpenVINO itself would choose bf16 for an FP32
            model on a CPU that has it; here that takes a word.
        batches: The batch sizes a model is compiled for, one static model each; a smaller request is filled up to the
            next size. Empty = one model with a free batch, which is slower on every device.
        hint: What OpenVINO optimises for; ``none`` = nothing is said.
        threads: Threads in all (CPU); 0 = one a core that the process is confined to.
        streams: Requests that are computed side by side; 0 = by ``hint``.
        requests: Requests that may be in flight at once; 0 = as many as OpenVINO calls optimal.
        pinning: Whether threads are pinned to cores (CPU); nothing = OpenVINO's own choice.
        hyper_threading: Whether both threads of a core are used (CPU); nothing = OpenVINO's own choice.
        asynchronous: Several requests in flight go through ``AsyncInferQueue``; else through one thread each.
        allow_host_operators: Let a GPU or NPU leave operators to the CPU (``HETERO``). Such a run is labelled and never ranked.
        properties: Passed to OpenVINO as they are, such as ``{ CPU_DENORMALS_OPTIMIZATION = "YES" }``.

    Raises:
        ValueError: A count is negative or a batch size is not positive.
    """

    precision: Literal["auto", "f32", "bf16", "f16"] = "auto"
    batches: tuple[int, ...] = (1,)
    hint: Literal["latency", "throughput", "none"] = "latency"
    threads: int = 0
    streams: int = 0
    requests: int = 0
    pinning: bool | None = None
    hyper_threading: bool | None = None
    asynchronous: bool = True
    allow_host_operators: bool = False
    properties: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("threads", "streams", "requests"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: {getattr(self, name)} is negative; 0 leaves it to OpenVINO")
        if any(size < 1 for size in self.batches):
            raise ValueError(f"batches: {list(self.batches)} has a size below 1; an empty list means any size")
