"""How much memory a run held, and whether it grew in the window. Pure functions of readings and trace.

Growth is bytes kept a completed sample: the slope of what was held over how many samples were complete by then. The slope is
Theil and Sen's, the median over all pairs of readings (Sen 1968, *Journal of the American Statistical Association* 63), which one
jump of an allocator does not move. Its interval is Sen's, by Kendall's rank statistic: the ranks (N ± z · σ) ÷ 2 of the
N = n(n − 1) ÷ 2 ordered slopes, with σ² = n(n − 1)(2n + 5) ÷ 18. What is held at one reading is held at the next, so that the
readings' scatter about the line is no fresh draw each time: z is taken √f times as large, f being the residuals' dependence.

What the harness keeps itself was measured with the null device, in windows of 2 … 30 s and 16,000 … 3,300,000 samples: 2 … 8.4
bytes a sample in server, 8 … 14 in single-stream and multi-stream, 0.01 … 0.2 in offline. It is LoadGen's list of latencies,
8 bytes a query in a vector that doubles; the trace's columns are filled before the window. :data:`ALLOWANCE` is more than four
times the highest. Not in the slope, but in every level from the window's start on, is what LoadGen prepares for the window: some
350 bytes a prepared query, 40 of them the trace's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from npubench.analyze.dependence import dependence
from npubench.analyze.estimate import RECORD_CONFIG, Estimate, absent
from npubench.analyze.finding import Finding
from npubench.contract.runspec import Phase
from npubench.measure.memory import MemoryTrack
from npubench.measure.trace import Trace

#: What harness and LoadGen keep themselves is below this, bytes a sample.
ALLOWANCE = 64.0
#: Growth is spoken of from this part of the level at the window's start on, or this many bytes, whichever is less.
SHARE, BYTES = 0.02, 32 << 20
#: Fewer readings in a window tell no slope; they come once a second.
FEWEST = 20
#: More are thinned out: the pairs grow with the square.
_MOST = 400
CONFIDENCE = 0.99
#: Standard normal quantile at (1 + :data:`CONFIDENCE`) ÷ 2.
_Z = 2.5758293035489004

DAMAGED = "the readings of the memory are damaged"
NO_WINDOW = "the run has no measured window"
UNREAD = "no reading of the memory in this part of the run"
STANDING = "no sample was completed between readings of the memory"
NO_INTERVAL = "no interval: neighbouring readings of the memory are too alike"


@dataclass(frozen=True, slots=True)
class Kept:
    """Outputs that the harness itself keeps in the window, to look at them after it.

    Args:
        done_ns: When each of the samples was done whose outputs are kept, ``int64[kept]``, in any order.
        size: What they take together, bytes.
    """

    done_ns: NDArray[np.int64]
    size: int


@dataclass(frozen=True, slots=True)
class Memory:
    """What the worker and processes of its own held: anonymous and shared memory, swapped out included, no mapped files."""

    __pydantic_config__: ClassVar[dict[str, Any]] = RECORD_CONFIG

    loaded: Estimate
    """Once the executor was loaded, bytes."""
    start: Estimate
    """At the first reading in the measured window; what LoadGen prepares for the window is in it."""
    end: Estimate
    """At the last reading in the measured window."""
    peak: Estimate
    """The highest reading of the whole run; between readings, a second apart at the best, it may have been higher."""
    peak_phase: str | None
    """The phase that the highest reading is of; null where there is none."""
    growth: Estimate
    """Bytes kept a completed sample in the window, with its interval, without the outputs that the harness keeps to look at them;
    what it keeps of every sample (below 64) is in it."""
    late: Estimate
    """The same over the window's second half: what fills up once grows no more there."""
    samples: int | None
    """Samples completed between the first and the last reading in the window; null where there are no two."""
    readings: int
    """Readings in the window."""
    processes: int
    """How many processes were added up at the most; 0 where nothing could be read."""


def account_memory(track: MemoryTrack, trace: Trace | None, kept: Kept | None = None) -> Memory:
    """Say what a run held and whether it grew.

    Args:
        track: The readings.
        trace: Of the measured window; ``None`` where the run came to none.
        kept: What the harness kept of it; ``None`` = nothing.
    """
    names = np.array(track.phases)[track.phase] if len(track.times_ns) else np.zeros(0, dtype=np.str_)
    empty = track.reason or UNREAD

    def level(chosen: NDArray[np.intp], why: str, at: int) -> Estimate:
        return Estimate(float(track.held[chosen[at]]), "B") if chosen.size else absent("B", why)

    loaded = np.flatnonzero(names == Phase.LOAD_EXECUTOR.value)
    inside = np.zeros(0, np.intp)
    if trace is not None:
        inside = np.flatnonzero((track.times_ns >= trace.start_ns) & (track.times_ns <= trace.end_ns))
    why = empty if trace is not None else track.reason or NO_WINDOW
    top = int(np.argmax(track.held)) if len(track.held) else None
    done = np.zeros(0, np.int64)
    if trace is not None:
        done = np.searchsorted(np.sort(trace.done_ns), track.times_ns[inside], side="right").astype(np.int64)
    held = track.held[inside].astype(np.float64)
    if kept is not None and kept.done_ns.size:
        # The largest of them would be taken for a leak: 64 requests of 3 MiB are 192 MiB in a minute.
        by_then = np.searchsorted(np.sort(kept.done_ns), track.times_ns[inside], side="right")
        held -= kept.size * by_then / kept.done_ns.size
    half = done >= (done[0] + done[-1]) / 2 if done.size else np.zeros(0, np.bool_)
    return Memory(
        loaded=level(loaded, empty, -1),
        start=level(inside, why, 0),
        end=level(inside, why, -1),
        peak=absent("B", empty) if top is None else Estimate(float(track.held[top]), "B"),
        peak_phase=None if top is None else str(names[top]),
        growth=slope(done, held) if inside.size else absent("B/sample", why),
        late=slope(done[half], held[half], FEWEST // 2) if inside.size else absent("B/sample", why),
        samples=int(done[-1] - done[0]) if done.size > 1 else None,
        readings=int(inside.size),
        processes=int(track.processes.max()) if len(track.processes) else 0,
    )


def slope(done: NDArray[np.int64], held: NDArray[np.float64], fewest: int = FEWEST) -> Estimate:
    """Return by how much memory grows a completed sample.

    Args:
        done: Samples complete at each reading, ``[readings]``, rising.
        held: Bytes held at each, ``[readings]``.
        fewest: So many readings are needed.

    Returns:
        Bytes a sample with the interval of :data:`CONFIDENCE`; absent with the reason where there are too few readings or
        nothing was completed between them; without an interval where the readings are too alike for one.
    """
    n = int(done.size)
    if n < fewest:
        return absent("B/sample", f"needs {fewest} readings of the memory, there are {n}", n)
    if n > _MOST:
        kept = np.linspace(0, n - 1, _MOST).round().astype(np.intp)
        done, held = done[kept], held[kept]
    first, second = np.triu_indices(done.size, 1)
    apart = (done[second] - done[first]).astype(np.float64)
    there = apart > 0
    if not np.any(there):
        return absent("B/sample", STANDING, n)
    slopes = np.sort((held[second] - held[first])[there] / apart[there])
    value = float(np.median(slopes))
    count = done.size
    sigma = math.sqrt(count * (count - 1) * (2 * count + 5) / 18) * math.sqrt(dependence(held - value * done))
    low = math.floor((slopes.size - _Z * sigma) / 2)
    high = math.ceil((slopes.size + _Z * sigma) / 2)
    if low < 1 or high >= slopes.size:
        return Estimate(value, "B/sample", n=n, reason=NO_INTERVAL)
    return Estimate(value, "B/sample", float(slopes[low - 1]), float(slopes[high]), CONFIDENCE, n)


def judge_memory(memory: Memory) -> Iterator[Finding]:
    """Yield that memory grows: certainly more than the harness keeps, to the window's end, and by what matters."""
    found = growing(memory)
    if found is None:
        return
    rate, added, allowed = found
    start = memory.start.value or 0.0
    yield Finding(
        "memory-growth",
        "warning",
        f"memory grows by {rate:,.0f} bytes a sample: {_mib(added)} MiB in the window, on {_mib(start)} MiB at its start",
        f"at most {ALLOWANCE:g} bytes a sample, or below {_mib(allowed)} MiB in the window",
        "Look for what is kept of every request: outputs, events, shapes, lines of a log; objects that refer to each other stay "
        "as well, since garbage is not collected in the window.",
        {
            "rate": rate,
            "low": memory.growth.low,
            "allowance": ALLOWANCE,
            "added_mib": round(added / 2**20, 1),
            "start_mib": round(start / 2**20, 1),
            "allowed_mib": round(allowed / 2**20, 1),
        },
    )


def growing(memory: Memory) -> tuple[float, float, float] | None:
    """Return the growth, bytes a sample, what it adds in the window and what it may add, bytes; ``None`` where none is certain.

    Counted is the lower of the slopes over the whole window and over its second half, so that what fills up once, such as a pool
    or a cache, is not taken for what goes on.
    """
    growth, late, start, samples = memory.growth, memory.late, memory.start.value, memory.samples
    if growth.value is None or growth.low is None or late.value is None or start is None or samples is None:
        return None
    rate = min(growth.value, late.value)
    added, allowed = rate * samples, min(SHARE * start, float(BYTES))
    return (rate, added, allowed) if growth.low > ALLOWANCE and rate > ALLOWANCE and added > allowed else None


def _mib(size: float) -> str:
    return f"{size / 2**20:,.1f}"
