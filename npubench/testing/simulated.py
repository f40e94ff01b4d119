"""A simulated accelerator whose truth is known: the device that the harness is calibrated and tested with.

It computes the probe workload's outputs really and takes a stated time and power for it; it stands for no real chip, and
everything it says carries SIMULATED. It is the one plug-in that reads a clock (see ``npubench.testing.executor``): the
law that plug-ins read none is for those which have hardware to take the time.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from npubench import __version__
from npubench.contract import (
    Artefact,
    Availability,
    Backend,
    Device,
    Executor,
    Model,
    PowerLimit,
    Rung,
    Sensor,
    Support,
    Unsupported,
    WrongArtefact,
)
from npubench.contract.options import nearest
from npubench.testing.executor import AsyncSimulatedExecutor, SimulatedExecutor
from npubench.testing.faults import strike
from npubench.testing.graph import GraphError, read_graph
from npubench.testing.laws import PRESETS, Law
from npubench.testing.limit import SimulatedPowerLimit
from npubench.testing.meter import NAMES, SimulatedSensor
from npubench.testing.options import SimulatedOptions

#: The environment variable that asks for a fault where no options reach: ``probe-raises``.
FAULT_VARIABLE = "NPUBENCH_SIMULATED_FAULT"

#: The environment variable (a target's ``env``) that says which sensors the simulated devices have, as kinds with commas
#: between them: ``energy,clock,throttle``. ``sensors()`` takes no options. Unset = as the device's preset has it; "" = none.
SENSORS_VARIABLE = "NPUBENCH_SIMULATED_SENSORS"


class SimulatedBackend(Backend):
    """The plug-in of the simulated device."""

    Options: ClassVar[type] = SimulatedOptions

    def probe(self) -> Availability:
        """Return the simulated devices: they are always there."""
        fault = os.environ.get(FAULT_VARIABLE, "")
        if fault == "probe-raises":
            raise RuntimeError("SIMULATED device: probe fails, as asked")
        if fault:
            raise ValueError(f"{FAULT_VARIABLE}: only 'probe-raises' can be asked for here, not '{fault}'")
        for preset in PRESETS.values():
            _kinds(preset.law)  # a wrong one is said here, where it ends the run with its sentence
        devices = tuple(
            Device(name=name, kind=preset.kind, details={"law": repr(preset.law)}, simulated=True)
            for name, preset in PRESETS.items()
        )
        return Availability(Rung.READY, versions={"SIMULATED device": __version__}, devices=devices)

    def supports(self, model: Model, device: Device) -> Support:
        """Say that the probe workload is all it runs."""
        if model.workload != "probe":
            return Support(False, "the simulated device runs only the probe workload")
        if model.precision == "vendor":
            return Support(False, "the simulated device has no quantiser of its own")
        return Support(True)

    def compile(self, model: Model, device: Device, options: SimulatedOptions, work: Path) -> Artefact:
        """Copy the model, after checking that every operator of it is known."""
        if options.fault == "compile-refuses":
            raise Unsupported("SIMULATED compiler: error E042: the model is refused, as asked")
        try:
            graph = read_graph(model.path)
        except GraphError as error:
            raise Unsupported(f"SIMULATED compiler: {error}") from error
        path = work / "probe.simulated"
        shutil.copyfile(model.path, path)
        notes = {"device": "SIMULATED: no hardware", "operators": str(len(graph.nodes))}
        return Artefact(path=path, format="simulated", compiler=f"SIMULATED compiler {__version__}", notes=notes)

    def compile_key(self, device: Device, options: SimulatedOptions) -> str:
        """Return the version: no option changes the artefact, but one has it refused, whatever was compiled before."""
        refusing = " that refuses" if options.fault == "compile-refuses" else ""
        return f"SIMULATED compiler {__version__}{refusing}"

    def load(self, artefact: Artefact, device: Device, options: SimulatedOptions) -> Executor:
        """Load the graph; one executor at a time holds a device."""
        if options.fault == "load-raises":
            raise RuntimeError("SIMULATED device error 0x17: the artefact cannot be loaded, as asked")
        if options.fault == "exit-in-load":
            strike("exit-in-load")
        try:
            graph = read_graph(artefact.path)
        except GraphError as error:
            raise WrongArtefact(f"{error}; hand in what the SIMULATED compiler made, or an ONNX file of the probe") from error
        return (AsyncSimulatedExecutor if options.asynchronous else SimulatedExecutor)(graph, device.name, options)

    def sensors(self, device: Device) -> Sequence[Sensor]:
        """Return the energy counter and the power gauge, as far as the device has them, or those the environment asks for."""
        law = PRESETS[device.name].law
        return [SimulatedSensor(device.name, kind, law) for kind in _kinds(law)]

    def power_limit(self, device: Device) -> PowerLimit | None:
        """Return the device's power limit; one that draws no power has none."""
        return SimulatedPowerLimit(device.name) if PRESETS[device.name].law.active_mw else None


def _kinds(law: Law) -> Sequence[str]:
    """Return the kinds of a device's sensors.

    Raises:
        ValueError: The environment asks for one that there is not.
    """
    asked = os.environ.get(SENSORS_VARIABLE)
    if asked is None:
        return [kind for kind, there in (("energy", law.energy_counter), ("power", law.power_gauge)) if there]
    kinds = [kind.strip() for kind in asked.split(",") if kind.strip()]
    for kind in kinds:
        if kind not in NAMES:
            raise ValueError(f"{SENSORS_VARIABLE}: there is no kind of sensor '{kind}'{nearest(kind, NAMES)}")
    return list(dict.fromkeys(kinds))
