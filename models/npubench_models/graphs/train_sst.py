"""Train the sea-surface forecast net with numpy, on the months before the held-out ones.

Run ``python -m npubench_models.graphs.train_sst`` to write ``sst_net.npz`` again; it takes about a minute. The stream of
random numbers is fixed, and all is computed in float64 and rounded at the end: two machines, whose matrix products differ
in the last bits, drift apart by some 1e-14, which float32 does not show. In float32 they would end at different weights.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from npubench_models.graphs.sst_net import WEIGHTS, Layer, Trained, write_weights
from npubench_models.workloads.sea_surface import HISTORY, SeaSurface, anomalies, history, read_sea_surface

Array = np.ndarray[Any, Any]

_SEED = 0
_CHANNELS = (16, 16)
_KERNEL = 3

# Chosen by the error on three years held out of the training months in turn, never on the workload's own held-out year.
_PASSES = 60
_RATE = 3e-3
_DECAY = 0.1

#: Months around a target that its climatology is not fitted to: one of each calendar month. A forecast has no part in the
#: climatology it is measured against; a target that had would look smaller than it is.
_BEFORE, _AFTER = 6, 5


class _Adam:
    """Adam (Kingma and Ba, 2015) with decoupled weight decay (Loshchilov and Hutter, 2019) and a rate that falls as a cosine."""

    def __init__(self, parameters: Sequence[Array], steps: int) -> None:
        self._parameters = parameters
        self._mean = [np.zeros_like(p) for p in parameters]
        self._square = [np.zeros_like(p) for p in parameters]
        self._steps, self._step = steps, 0

    def update(self, gradients: Sequence[Array]) -> None:
        """Take one step against ``gradients``; matrices decay, biases do not."""
        self._step += 1
        rate = _RATE * 0.5 * (1 + np.cos(np.pi * self._step / self._steps))
        for p, g, mean, square in zip(self._parameters, gradients, self._mean, self._square, strict=True):
            mean += 0.1 * (g - mean)
            square += 0.001 * (g * g - square)
            step = mean / (1 - 0.9**self._step) / (np.sqrt(square / (1 - 0.999**self._step)) + 1e-8)
            p -= rate * (step + (_DECAY * p if p.ndim == 2 else 0))


def train(fields: SeaSurface, passes: int = _PASSES) -> Trained:
    """Train on the months before the held-out ones, one month a step.

    Args:
        fields: All months; the held-out ones are not looked at.
        passes: Stop after so many passes of the full schedule.
    """
    targets = list(fields.training)[HISTORY:]
    anomaly = {month: anomalies(fields, _fitted(fields, month)) for month in targets}
    random = np.random.RandomState(_SEED)
    matrices, biases = _initial(random)
    adam = _Adam([*matrices, *biases], _PASSES * len(targets))
    losses = []
    for _ in range(passes):
        errors = []
        for month in random.permutation(targets):
            x, change, sea = _example(anomaly[month], fields.sea, month, random)
            outputs = list(_forward(x, matrices, biases))
            error = (outputs[-1][1][..., 0] - change) * sea
            errors.append(float((error**2).sum() / sea.sum()))
            adam.update(_gradients(2 * error / sea.sum(), outputs, matrices))
        losses.append(np.mean(errors))
    layers = tuple(_layer(matrix, bias) for matrix, bias in zip(matrices, biases, strict=True))
    return Trained(layers, np.array(losses, np.float32))


def _fitted(fields: SeaSurface, month: int) -> list[int]:
    return [other for other in fields.training if not month - _BEFORE <= other <= month + _AFTER]


def _initial(random: np.random.RandomState) -> tuple[list[Array], list[Array]]:
    """Return matrices ``[9 · C, K]`` (He et al., 2015) and biases ``[K]``; the last layer starts near no correction."""
    widths = (HISTORY + 1, *_CHANNELS, 1)
    matrices, biases = [], []
    for inputs, outputs in itertools.pairwise(widths):
        fan_in = _KERNEL**2 * inputs
        matrices.append(random.standard_normal((fan_in, outputs)) * np.sqrt(2 / fan_in))
        biases.append(np.zeros(outputs))
    matrices[-1] *= 0.1
    return matrices, biases


def _example(anomaly: Array, sea: Array, month: int, random: np.random.RandomState) -> tuple[Array, Array, Array]:
    """Return history ``[latitude, longitude, channels]``, the change that follows, and the sea as numbers.

    Every other time north and south change places, or warm and cold: near the equator the equations of motion stay the same
    under either, to first order, and so few months teach more.
    """
    x = history(anomaly, sea, month).transpose(1, 2, 0).astype(np.float64)
    change = (anomaly[month] - anomaly[month - 1]).astype(np.float64)
    weight = sea.astype(np.float64)
    if random.random_sample() < 0.5:
        x, change, weight = x[::-1], change[::-1], weight[::-1]
    if random.random_sample() < 0.5:
        x[..., :HISTORY] *= -1
        change = -change
    return x, change, weight


def _forward(x: Array, matrices: Sequence[Array], biases: Sequence[Array]) -> Iterator[tuple[Array, Array]]:
    """Yield each layer's columns and its output ``[latitude, longitude, K]``; all but the last are rectified."""
    for n, (matrix, bias) in enumerate(zip(matrices, biases, strict=True)):
        columns = _columns(x)
        x = (columns @ matrix + bias).reshape(*x.shape[:2], -1)
        if n + 1 < len(matrices):
            x = np.maximum(x, 0)
        yield columns, x


def _gradients(error: Array, outputs: Sequence[tuple[Array, Array]], matrices: Sequence[Array]) -> list[Array]:
    """Return the loss's gradients by all matrices, then all biases; ``error`` is the gradient by the last output."""
    flow = error.reshape(-1, 1)
    by_matrix: list[Array] = []
    by_bias: list[Array] = []
    for n in reversed(range(len(matrices))):
        by_matrix.insert(0, outputs[n][0].T @ flow)
        by_bias.insert(0, flow.sum(axis=0))
        if n:
            before = outputs[n - 1][1]
            flow = (_scattered(flow @ matrices[n].T, before.shape) * (before > 0)).reshape(len(flow), -1)
    return by_matrix + by_bias


def _columns(x: Array) -> Array:
    """Return each point's 3×3 neighbourhood, ``[latitude · longitude, 9 · C]``; longitude wraps, zeros lie beyond."""
    height, width, channels = x.shape
    padded = np.pad(np.pad(x, ((1, 1), (0, 0), (0, 0))), ((0, 0), (1, 1), (0, 0)), mode="wrap")
    shifted = [padded[i : i + height, j : j + width] for i in range(_KERNEL) for j in range(_KERNEL)]
    return np.concatenate(shifted, axis=2).reshape(height * width, _KERNEL**2 * channels)


def _scattered(columns: Array, shape: tuple[int, ...]) -> Array:
    """Return the transpose of :func:`_columns`: each neighbourhood added back to where it came from."""
    height, width, channels = shape
    parts = columns.reshape(height, width, _KERNEL**2, channels)
    padded = np.zeros((height + 2, width + 2, channels), columns.dtype)
    for n in range(_KERNEL**2):
        i, j = divmod(n, _KERNEL)
        padded[i : i + height, j : j + width] += parts[:, :, n]
    padded[:, width] += padded[:, 0]
    padded[:, 1] += padded[:, width + 1]
    return padded[1:-1, 1:-1]


def _layer(matrix: Array, bias: Array) -> Layer:
    """Return a trained matrix in the order that ONNX keeps kernels in."""
    kernel = matrix.reshape(_KERNEL, _KERNEL, -1, len(bias)).transpose(3, 2, 0, 1)
    return Layer(kernel.astype(np.float32, order="C"), bias.astype(np.float32))


def main() -> None:
    """Fetch the workload's data, train, write the weights, and say what WEIGHTS_SHA256 becomes."""
    from npubench.plan.wheels import npubench_cache, resolve
    from npubench.plan.workload import read_manifest

    manifest = read_manifest(WEIGHTS.parents[1] / "workloads" / "sst_forecast.toml")
    path = resolve(manifest.source, npubench_cache()).sources.path("sst")
    trained = train(read_sea_surface(path))
    write_weights(trained)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.info("%s: WEIGHTS_SHA256 is %s", WEIGHTS.name, hashlib.sha256(WEIGHTS.read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
