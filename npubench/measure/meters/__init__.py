"""Read the machine's own meters, one module a kind. Each offers ``Settings`` and ``open_meter``; none integrates anything.

A module is imported when a host file names its kind: most need a package that the base level does not have.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Sequence

from npubench.contract.options import OptionError, parse_options
from npubench.contract.runspec import MeterSpec
from npubench.measure.meters.sensor import MeterError, MeterSensor


@contextlib.contextmanager
def open_meters(specs: Sequence[MeterSpec]) -> Iterator[list[MeterSensor]]:
    """Open every meter and yield all their sensors; whatever was opened is closed.

    Raises:
        MeterError: A meter cannot be used; the text names it, its key and what to do.
    """
    opened: list[MeterSensor] = []
    try:
        for spec in specs:
            opened.extend(open_meter(spec))
        yield opened
    finally:
        for sensor in opened:
            with contextlib.suppress(Exception):
                sensor.close()


def open_meter(spec: MeterSpec) -> Sequence[MeterSensor]:
    """Open one meter.

    Raises:
        MeterError: Its settings are wrong, it cannot be reached, or it refuses.
    """
    where = f"meter.{spec.name}"
    try:
        module = importlib.import_module(f"npubench.measure.meters.{spec.kind}")
    except ModuleNotFoundError as error:
        raise MeterError(f"{where}.kind: '{spec.kind}' needs the package {error.name}; pip install 'npubench[meters]'") from error
    try:
        settings = parse_options(module.Settings, spec.settings, f"{where}.settings")
    except OptionError as error:
        raise MeterError(str(error)) from error
    try:
        sensors: Sequence[MeterSensor] = module.open_meter(spec, settings)
    except MeterError as error:
        raise MeterError(f"{where}: {error}") from error
    return sensors
