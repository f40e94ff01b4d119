"""What a target may say to IREE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class IreeOptions:
    """Options of compilation and of the runtime.

    Args:
        batch: The batch a model is compiled for; a smaller request is filled up to it.
        target_cpu: What LLVM compiles for: ``host`` (this very CPU), ``generic`` (any CPU of the architecture), or a name
            that LLVM knows, such as ``znver4``.
        driver: ``local-task`` = worker threads; ``local-sync`` = the calling thread alone.
        threads: Worker threads of ``local-task``; 0 = one a core that the process is confined to. It holds for the process.
        flags: Passed to ``iree-compile`` as they are, such as ``["--iree-opt-data-tiling=false"]``.

    Raises:
        ValueError: ``batch`` is below 1, or ``threads`` is negative or said of ``local-sync``.
    """

    batch: int = 1
    target_cpu: str = "host"
    driver: Literal["local-task", "local-sync"] = "local-task"
    threads: int = 0
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"batch: {self.batch} is below 1")
        if self.threads < 0:
            raise ValueError(f"threads: {self.threads} is negative; 0 means one a core")
        if self.threads and self.driver == "local-sync":
            raise ValueError("threads: the driver local-sync computes in the calling thread; leave threads out")
