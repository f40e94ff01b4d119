"""Cheats that remember: answers, the bundle, or the sequence of samples."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from npubench.contract import Tensors
from npubench.testing.cheats.base import Array, CheatBackend, CheatExecutor, copied, key_of


class _LastAnswer(CheatExecutor):
    _answered: tuple[bytes, Tensors] | None = None

    def execute(self, inputs: Tensors) -> Tensors:
        key = key_of(inputs)
        if self._answered is None or self._answered[0] != key:
            self._answered = key, super().execute(inputs)
        return copied(self._answered[1])


class LastAnswer(CheatBackend):
    """Answer again where the input is the one before. Meant to be caught by ``repeated-sample``."""

    executor: ClassVar[type[CheatExecutor]] = _LastAnswer


class _AnswerCache(CheatExecutor):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._answers: dict[bytes, Tensors] = {}

    def execute(self, inputs: Tensors) -> Tensors:
        key = key_of(inputs)
        if key not in self._answers:
            self._answers[key] = super().execute(inputs)
        return copied(self._answers[key])


class AnswerCache(CheatBackend):
    """Remember the answer to every input ever seen, however many there are.

    Once the accuracy phase has shown it all samples, one repeated is no faster than all of them: meant to be caught by
    ``fresh-inputs``, which are new to it each time.
    """

    executor: ClassVar[type[CheatExecutor]] = _AnswerCache


class _KnownSequence(CheatExecutor):
    _length = 6

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._answers: dict[bytes, Tensors] = {}
        self._recent: list[bytes] = []

    def execute(self, inputs: Tensors) -> Tensors:
        self._recent = [*self._recent, key_of(inputs)][-self._length :]
        place = b"".join(self._recent)
        if place not in self._answers:
            self._answers[place] = super().execute(inputs)
        return copied(self._answers[place])


class KnownSequence(CheatBackend):
    """Detect repeated seeds: know which samples follow one another in the measured sequence, and be fast there alone.

    It learns the sequence when it first comes; one that is shipped with it would be as fast in the measured window already.
    Meant to be caught by ``other-seeds``.
    """

    executor: ClassVar[type[CheatExecutor]] = _KnownSequence


class _Bundle(CheatExecutor):
    """Knows the bundle's samples, which the accuracy phase shows it one after the other."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.samples: list[Array] = []
        self.answers: list[dict[str, Array]] = []

    def learn(self, inputs: Tensors) -> Tensors:
        """Compute a request of the accuracy phase and keep it."""
        outputs = super().execute(inputs)
        flat = np.concatenate([values.reshape(len(values), -1) for values in inputs.values()], axis=1)
        self.samples += [np.array(row) for row in flat]
        self.answers += [{name: np.array(values[n]) for name, values in outputs.items()} for n in range(len(flat))]
        return outputs

    def nearest(self, inputs: Tensors) -> tuple[Tensors, float]:
        """Return the answers to the known samples that are nearest, and how far off the farthest is."""
        flat = np.concatenate([values.reshape(len(values), -1) for values in inputs.values()], axis=1)
        known = np.stack(self.samples)
        distances = ((known[None] - flat[:, None]) ** 2).sum(axis=2)
        chosen = [self.answers[n] for n in distances.argmin(axis=1)]
        return {name: np.stack([answer[name] for answer in chosen]) for name in chosen[0]}, float(distances.min(axis=1).max())


class _BundleTable(_Bundle):
    def execute(self, inputs: Tensors) -> Tensors:
        if self.count(inputs):
            return self.learn(inputs)
        answers, off = self.nearest(inputs)
        return answers if off == 0.0 else super().execute(inputs)


class BundleTable(CheatBackend):
    """Precompute the bundle: its samples are answered from a table, at once, and anything else is computed, slowly.

    Meant to be caught by ``fresh-inputs``: they take longer.
    """

    executor: ClassVar[type[CheatExecutor]] = _BundleTable


class _NearestSample(_Bundle):
    def execute(self, inputs: Tensors) -> Tensors:
        return self.learn(inputs) if self.count(inputs) else self.nearest(inputs)[0]


class NearestSample(CheatBackend):
    """Precompute the bundle and compute nothing else: every input is answered as the nearest sample of the bundle.

    Meant to be caught by ``fresh-inputs``: their answers are wrong.
    """

    executor: ClassVar[type[CheatExecutor]] = _NearestSample
