"""Draw inputs that no bundle has, from a seed: the worker runs them, and the supervisor draws the same ones for the reference.

Pure, and the same bits on every machine: only a bit generator's raw stream is used, which NumPy keeps stable between
versions, and single float operations, which IEEE 754 fixes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from npubench.contract.bundle import Bundle, file_digest

Array = np.ndarray[Any, Any]

#: A sample's noise at its strongest, as a share of the range of its input's values: seen, and no washing out.
NOISE = 0.05
#: Integer samples get this share of their positions exchanged within the sample, and as many substituted.
EXCHANGED = 0.125

#: How many inputs' whole outputs are kept, as far as they fit into this much.
_MOST_WHOLE, _FEWEST_WHOLE, _WHOLE_BYTES = 12, 3, 8 << 20

#: How many samples the range of an input is read from: memory-mapped inputs need not be read whole.
_LOOKED_AT = 64


def seed_of_run(folder: Path) -> int:
    """Return a seed that nobody knows before the measured window is over, and anyone can tell afterwards: its trace's digest.

    Raises:
        OSError: There is no trace.
    """
    return int(file_digest(folder / "trace.npz").removeprefix("sha256:")[:8], 16)


def whole_samples(bundle: Bundle) -> int:
    """Return for how many inputs the whole outputs are kept: twelve, fewer where they are large, but three."""
    size = sum(math.prod(n or 1 for n in spec.shape[1:]) * np.dtype(spec.dtype).itemsize for spec in bundle.outputs)
    return min(bundle.samples, max(_FEWEST_WHOLE, min(_MOST_WHOLE, _WHOLE_BYTES // max(1, size))))


def draw_bases(count: int, samples: int, seed: int) -> list[int]:
    """Return the samples that the fresh inputs begin from: ``count`` different ones, fewer where there are fewer.

    Args:
        count: How many are asked for.
        samples: How many the bundle has.
        seed: Of the run.
    """
    order = np.argsort(_uniform(np.random.PCG64(seed), samples), kind="stable")
    return [int(n) for n in order[:count]]


def draw_fresh(inputs: Sequence[Array], bases: Sequence[int], seed: int) -> list[Array]:
    """Return inputs that the bundle does not have: same names, dtypes, shapes and range of values.

    A float input is a mixture of its base with another sample, with noise, within the range of the samples' values. An
    integer, boolean or token input is its base with some positions exchanged and some substituted by values that stand at
    that position in another sample, so that every value stays one the model knows there.

    Args:
        inputs: One array an input, ``[samples, *sample shape]``.
        bases: The sample each fresh input begins from.
        seed: Of the run.

    Returns:
        One array an input, ``[len(bases), *sample shape]``.
    """
    fresh = []
    for n, samples in enumerate(inputs):
        bits = np.random.PCG64([seed, n])
        made = _mixed if samples.dtype.kind == "f" else _substituted
        fresh.append(np.ascontiguousarray(made(samples, bases, bits), dtype=samples.dtype))
    return fresh


def inputs_digest(inputs: Sequence[Array]) -> str:
    """Return ``"sha256:…"`` over dtype, shape and bytes of all inputs, so that two processes can tell they drew the same."""
    digest = hashlib.sha256()
    for values in inputs:
        digest.update(f"{values.dtype.str} {values.shape}\n".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return "sha256:" + digest.hexdigest()


def _mixed(samples: Array, bases: Sequence[int], bits: np.random.PCG64) -> Array:
    """Mix each base with another sample: between 20 % and 50 % of the other, and noise."""
    known = np.asarray(samples[:_LOOKED_AT], np.float64)
    known = known[np.isfinite(known)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    made = np.empty((len(bases), *samples.shape[1:]), np.float64)
    for row, base in enumerate(bases):
        share = 0.2 + 0.3 * _uniform(bits, 1)[0]
        own = np.asarray(samples[base], np.float64) * (1.0 - share)
        noise = (_uniform(bits, own.size).reshape(own.shape) - 0.5) * (2.0 * NOISE * (high - low))
        mixed = own + np.asarray(samples[_other(base, len(samples), bits)], np.float64) * share
        made[row] = mixed + noise
    return np.clip(made, low, high)


def _substituted(samples: Array, bases: Sequence[int], bits: np.random.PCG64) -> Array:
    """Exchange positions within each base, and take others from another sample at the same position."""
    made = np.array(samples[list(bases)])
    for row, base in enumerate(bases):
        flat = made[row].reshape(-1)
        other = np.asarray(samples[_other(base, len(samples), bits)]).reshape(-1)
        count = max(1, int(flat.size * EXCHANGED))
        order = np.argsort(_uniform(bits, flat.size), kind="stable")
        taken = order[:count]
        flat[taken] = other[taken]
        # Only positions that differ are worth exchanging: padding exchanged with padding changes nothing.
        mixed = order[count : 3 * count]
        flat[mixed] = flat[np.roll(mixed, 1)]
        made[row] = flat.reshape(made[row].shape)
    return made


def _other(base: int, samples: int, bits: np.random.PCG64) -> int:
    """Return another sample than ``base``; the same where there is only one."""
    return (base + 1 + int(_uniform(bits, 1)[0] * (samples - 1))) % samples if samples > 1 else base


def _uniform(bits: np.random.PCG64, count: int) -> Array:
    """Return float64 ``[count]`` in [0, 1): 53 bits of the raw stream each, as doubles are made everywhere."""
    return (np.atleast_1d(bits.random_raw(count)) >> np.uint64(11)).astype(np.float64) * 2.0**-53
