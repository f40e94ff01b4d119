"""What an audit has to work with: the run as it stands after its measured window, and ways to ask the device again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from npubench.contract.availability import Device
from npubench.contract.backend import Backend
from npubench.contract.bundle import Bundle
from npubench.contract.runspec import LoadSpec, RunSpec
from npubench.measure.audits.guard import Guard
from npubench.measure.binding import Array, Binding
from npubench.measure.dispatch import Sink
from npubench.measure.kept import whole_outputs
from npubench.measure.loadgen import Issue
from npubench.measure.samples import SampleSet
from npubench.measure.trace import Columns, Trace
from npubench.measure.windows import Windows


class NotCarriedOut(Exception):  # noqa: N818 - no error: an audit that cannot be done here
    """An audit cannot be carried out here; the text says why, as half a sentence."""


class Probe(Protocol):
    """An audit's observing half. It computes no verdict; plain values and arrays are all it leaves.

    Attributes:
        name: The audit's id, such as ``"repeated-sample"``.
    """

    name: str

    def carry_out(self, bench: Bench) -> Mapping[str, Any]:
        """Observe, and return it as plain JSON values; arrays go to ``bench.arrays`` by names that begin with ``name/``.

        Raises:
            NotCarriedOut: It cannot be done here; the reason is what stays of it.
        """


@dataclass(slots=True)
class Bench:
    """A run after its measured window.

    Args:
        spec: The run.
        load: Its load as it took effect, with the server rate that was found.
        windows: The way to the executor; closed for the probes that come after the phase ``close``.
        bundle: The workload.
        inputs, outputs: How its tensors and the executor's belong together.
        folder: The run's.
        backend, device, options: The plug-in.
        guard: What watches over the process.
        sampled: Whether sensors or meters are being read.
        trace: The measured window.
        arrays: What probes leave for ``audits.npz``.
    """

    spec: RunSpec
    load: LoadSpec
    windows: Windows
    bundle: Bundle
    inputs: tuple[Binding, ...]
    outputs: tuple[Binding, ...]
    folder: Path
    backend: Backend
    device: Device
    options: Any
    guard: Guard
    sampled: bool
    trace: Trace
    arrays: dict[str, Array] = field(default_factory=dict)

    def window(self, load: LoadSpec, name: str, *, issue: Issue = "", longest_ns: int = 0, checked: int = 0) -> Trace:
        """Run a window of another load by the measured path.

        Args:
            load: The load; the batch is the run's.
            name: Of its folder of LoadGen's logs.
            issue, longest_ns: As in :func:`npubench.measure.loadgen.run_window`.
            checked: How many rows' outputs are looked at, as in the measured window, so that no window is told by it.
        """
        return self.windows.apart(load, f"audit-{name}", issue=issue, longest_ns=longest_ns, checked=checked).trace

    @contextlib.contextmanager
    def laid(self, samples: SampleSet) -> Iterator[None]:
        """Put other samples in the place of the bundle's for windows that are run meanwhile."""
        windows = self.windows
        before = windows.samples, windows.dispatcher.samples
        windows.samples = windows.dispatcher.samples = samples
        try:
            yield
        finally:
            windows.samples, windows.dispatcher.samples = before

    def inputs_of(self, samples: Sequence[int]) -> list[Array]:
        """Return samples of the bundle as they are stored in it: one array an input, ``[samples, *sample shape]``."""
        with self.guard.own():
            return [np.array(array[list(samples)]) for array in self.bundle.load_inputs()]

    def answers(self, arrays: Sequence[Array], batch: int) -> tuple[list[Array], list[int]]:
        """Ask the device for inputs of one's own by the measured path, a batch at a time and one after the other.

        Args:
            arrays: One array an input, ``[samples, *sample shape]``, in the workload's form.
            batch: Samples in a request; what the executor takes at most is the caller's to know.

        Returns:
            Every output whole and in the workload's form, ``[samples, …]``; and each request's time in the executor, ns.
        """
        dispatcher = self.windows.dispatcher
        before = dispatcher.samples, dispatcher.batch
        count = len(arrays[0])
        sink = Sink(Columns(count), None, lambda ids: None)
        dispatcher.samples, dispatcher.batch = SampleSet(arrays, self.inputs, batch), batch
        try:
            self.windows.on_start(sink)
            dispatcher.open(sink)
            for at in range(0, count, batch):
                indices = list(range(at, min(at + batch, count)))
                dispatcher.issue(indices, indices)
                dispatcher.drain()
        finally:
            dispatcher.samples, dispatcher.batch = before
        columns = sink.columns
        return self._in_order(sink, count), [columns.done[at] - columns.started[at] for at in range(0, count, batch)]

    def _in_order(self, sink: Sink, count: int) -> list[Array]:
        """Return a sink's outputs by sample."""
        whole: list[Array] = []
        for rows, tensors in sink.kept:
            indices = [sink.columns.sample[row] for row in rows]
            for n, values in enumerate(whole_outputs(tensors, self.outputs)):
                if n == len(whole):
                    whole.append(np.zeros((count, *values.shape[1:]), values.dtype))
                whole[n][indices] = values
        return whole


def shortened(load: LoadSpec, duration_ns: int, queries: int) -> LoadSpec:
    """Return a load of another length, otherwise the same."""
    return replace(load, min_duration_ns=max(1, duration_ns), min_queries=max(1, queries))
