"""The options of a target: core mode, slots, and how tensors meet an artefact that has no names for them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

#: A slot holds the activations of one request in device memory; no core mode has use for more than these.
MOST_SLOTS = 64


@dataclass(frozen=True, slots=True)
class MobilintOptions:
    """How a model is put on the cores and fed.

    Args:
        core_mode: ``auto`` takes the mode of an MXQ that has just one; ``single``, ``multi``, ``global4``, ``global8`` name it.
        cores: With ``single``: the cores, as ``"cluster.core"``; empty = ``"0.0"`` alone.
        clusters: With ``multi`` and ``global4``: the clusters, 0 or 1; empty = both.
        slots: Activation slots = requests in flight; 0 = the runtime's own number, and 1 where it does not say.
        asynchronous: Run through ``infer_async`` instead of threads in ``infer``.
        batch: The largest batch of one ``infer``; what the runtime makes of one is unverified.
        layout: The order that images are handed over in: ``hwc`` is the device's own, ``chw`` has the runtime turn them.
        tensors: ``native`` = the MXQ's own dtype; ``float32`` = the runtime converts, inside the measured time.
        input_scale: What a stored input value is worth, one value or one a channel; empty = what the MXQ says.
        input_zero_point: The stored value that stands for 0, one value or one a channel; with ``input_scale`` only.
        input_names: Names for the MXQ's inputs, in its order; empty = by position.
        output_names: Names for the MXQ's outputs, in its order; empty = by position.
        compile_on: Where ``qbcompiler`` calibrates: ``cpu`` or ``gpu``.
        allow_host_operators: Let the runtime use all of an MXQ's bundles, with operators on the host CPU.
    """

    core_mode: Literal["auto", "single", "multi", "global4", "global8"] = "auto"
    cores: tuple[str, ...] = ()
    clusters: tuple[int, ...] = ()
    slots: int = 0
    asynchronous: bool = False
    batch: int = 1
    layout: Literal["hwc", "chw"] = "hwc"
    tensors: Literal["native", "float32"] = "native"
    input_scale: tuple[float, ...] = ()
    input_zero_point: tuple[int, ...] = ()
    input_names: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()
    compile_on: Literal["cpu", "gpu"] = "cpu"
    allow_host_operators: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot go together; the text names the keys."""
        if self.cores and self.core_mode != "single":
            raise ValueError(f"cores: they are chosen with core_mode = 'single' alone, not with '{self.core_mode}'")
        if self.clusters and self.core_mode not in ("multi", "global4"):
            raise ValueError(f"clusters: they are chosen with core_mode 'multi' or 'global4', not with '{self.core_mode}'")
        for core in self.cores:
            if not re.fullmatch(r"[01]\.[0-3]", core):
                raise ValueError(f"cores: '{core}' is no core; they are written 'cluster.core', from '0.0' to '1.3'")
        if any(cluster not in (0, 1) for cluster in self.clusters):
            raise ValueError(f"clusters: {list(self.clusters)}; there are the clusters 0 and 1")
        if not 0 <= self.slots <= MOST_SLOTS:
            raise ValueError(f"slots: {self.slots} is not between 0 and {MOST_SLOTS}")
        if self.batch < 1:
            raise ValueError(f"batch: {self.batch} is less than 1")
        if self.asynchronous and self.batch > 1:
            raise ValueError("batch: infer_async takes one sample a call; leave batch at 1 or asynchronous off")
        if self.asynchronous and self.allow_host_operators:
            raise ValueError("allow_host_operators: infer_async runs no model with operators on the host; leave one of them off")
        if any(not scale > 0 for scale in self.input_scale):
            raise ValueError(f"input_scale: {list(self.input_scale)}; a scale is above 0")
        if self.input_zero_point and len(self.input_zero_point) != len(self.input_scale):
            raise ValueError("input_zero_point: it has one value for each of input_scale")
