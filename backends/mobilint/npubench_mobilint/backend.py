"""The plug-in itself: what npubench calls, handed on to the file that does it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from npubench.contract import Artefact, Availability, Backend, Device, Executor, Model, Sensor
from npubench_mobilint import compiler, presence, telemetry
from npubench_mobilint.executor import AsyncMobilintExecutor, MobilintExecutor
from npubench_mobilint.options import MobilintOptions
from npubench_mobilint.sdk import family_of, import_runtime
from npubench_mobilint.session import open_session


class MobilintBackend(Backend):
    """Mobilint's ARIES and REGULUS."""

    Options: ClassVar[type] = MobilintOptions

    def probe(self) -> Availability:
        """Say how far this machine is, and which devices there are."""
        return presence.availability()

    def compile(self, model: Model, device: Device, options: MobilintOptions, work: Path) -> Artefact:
        """Compile with qbcompiler where it is installed; elsewhere say how to hand an MXQ in."""
        return compiler.compile_model(model, device, options, work)

    def compile_key(self, device: Device, options: MobilintOptions) -> str:
        """Return compiler, version, chip and scheme."""
        return compiler.compile_key(device, options)

    def load(self, artefact: Artefact, device: Device, options: MobilintOptions) -> Executor:
        """Put an MXQ on a device and try it once."""
        session = open_session(import_runtime(), artefact, device, options)
        try:
            return (AsyncMobilintExecutor if options.asynchronous else MobilintExecutor)(session, options)
        except BaseException:
            # The first error is the one to tell.
            with contextlib.suppress(Exception):
                session.model.dispose()
            raise

    def sensors(self, device: Device) -> Sequence[Sensor]:
        """Return power (ARIES alone), temperature, utilisation and clock; none where mbltml is not to be trusted."""
        name = device.details.get("runtime name", family_of(device.kind))
        return telemetry.sensors(name, int(device.details.get("number", 0)))
