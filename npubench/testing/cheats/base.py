"""What all dishonest plug-ins are made of: the simulated device, for any small model, with a part of it exchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from npubench.contract import Artefact, Device, Executor, Model, Support, Tensors, WrongArtefact
from npubench.testing.executor import SimulatedExecutor
from npubench.testing.graph import Graph, GraphError, read_graph
from npubench.testing.options import SimulatedOptions
from npubench.testing.simulated import SimulatedBackend

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class CheatOptions(SimulatedOptions):
    """As :class:`npubench.testing.options.SimulatedOptions`.

    Args:
        known: How many samples the accuracy phase has. Whoever ships a cheat for a bundle knows it.
    """

    known: int = 0


class AnyModel(SimulatedBackend):
    """An honest simulated device that takes any model of the operators it knows."""

    Options: ClassVar[type] = SimulatedOptions

    def supports(self, model: Model, device: Device) -> Support:
        """Say yes: what it cannot run, it refuses when compiling."""
        return Support(True)


class CheatExecutor(SimulatedExecutor):
    """A simulated device's executor that counts the samples it has been given."""

    def __init__(self, graph: Graph, device: str, options: CheatOptions) -> None:
        super().__init__(graph, device, options)
        self.known = options.known
        self.seen = 0

    def count(self, inputs: Tensors) -> bool:
        """Count a request's samples; return whether they belong to the accuracy phase."""
        self.seen += len(next(iter(inputs.values())))
        return self.seen <= self.known


class CheatBackend(AnyModel):
    """A plug-in whose executor or graph is not what it says."""

    Options: ClassVar[type] = CheatOptions
    executor: ClassVar[type[CheatExecutor]] = CheatExecutor

    def load(self, artefact: Artefact, device: Device, options: Any) -> Executor:
        """Load the graph, as far as this cheat leaves it."""
        try:
            graph = read_graph(artefact.path)
        except GraphError as error:
            raise WrongArtefact(str(error)) from error
        return self.executor(self.changed(graph), device.name, options)

    def changed(self, graph: Graph) -> Graph:
        """Return the graph that is run in the place of the one that is handed in."""
        return graph


def key_of(inputs: Tensors) -> bytes:
    """Return what tells a request's inputs from others."""
    return b"".join(values.tobytes() for values in inputs.values())


def copied(outputs: Tensors) -> dict[str, Array]:
    """Return outputs that nobody else holds."""
    return {name: np.array(values) for name, values in outputs.items()}
