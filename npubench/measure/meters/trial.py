"""Open meters and read them once, from outside: each in a process of its own, with a deadline, side by side.

``python -m npubench.measure.meters.trial PARENT`` takes a meter's order from its standard input and answers on its standard
output. An instrument that hangs, or a library that prints or crashes, takes nothing else with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from npubench.contract.runspec import MeterSpec, from_plain, to_plain
from npubench.measure.meters import open_meters
from npubench.measure.meters.sensor import MeterError, MeterSensor
from npubench.measure.process import die_with_parent, kill_group

#: How long a meter may take to be opened and read, s: an instrument is set up, a BMC's session is begun.
DEADLINE_S = 30.0

#: How long a sensor may stay without a value after it was opened, and how far a counter's two readings lie apart, s.
_PATIENCE_S = 3.0
_APART_S = 0.5

#: What is told of power by: the others of a meter may have no value.
_OF_ENERGY = ("energy", "power")


@dataclass(frozen=True, slots=True)
class Shown:
    """What one sensor of a meter showed.

    Args:
        sensor, kind, domain, evidence: As the sensor says.
        watts: A gauge's power, or a counter's over half a second, W; ``None`` of other quantities, and of a counter that
            did not move or went back.
    """

    sensor: str
    kind: str
    domain: str
    evidence: str
    watts: float | None


@dataclass(frozen=True, slots=True)
class Trial:
    """How opening one meter and reading it once went.

    Args:
        meter: Its name in the host file.
        complaint: What is wrong, as a sentence that begins with ``meter.NAME``; "" = nothing.
        shown: What its sensors showed.
    """

    meter: str
    complaint: str
    shown: tuple[Shown, ...] = ()


def try_meters(specs: Sequence[MeterSpec], deadline_s: float = DEADLINE_S) -> list[Trial]:
    """Open each meter, read it and close it again; the answers come in the order of the meters.

    Meters at one address come one after the other: an instrument has one set-up, and often takes one connection.
    """
    together: dict[str, list[MeterSpec]] = {}
    for spec in specs:
        # As text: a wrong address may be anything that TOML can say, and its own meter complains of it.
        together.setdefault(str(spec.settings.get("address", spec.name)), []).append(spec)

    def in_turn(there: Sequence[MeterSpec]) -> list[Trial]:
        return [_answer(spec, _start(spec), deadline_s) for spec in there]

    with ThreadPoolExecutor(max(1, len(together))) as crew:
        found = {trial.meter: trial for trials in crew.map(in_turn, together.values()) for trial in trials}
    return [found[spec.name] for spec in specs]


def _start(spec: MeterSpec) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "npubench.measure.meters.trial", str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(to_plain(spec)).encode())
        process.stdin.close()
    process.stdin = None
    return process


def _answer(spec: MeterSpec, process: subprocess.Popen[bytes], deadline_s: float) -> Trial:
    """Wait for a meter's answer; what is left of its process is killed."""
    where = f"meter.{spec.name}"
    try:
        said = process.communicate(timeout=deadline_s)[0]
    except subprocess.TimeoutExpired:
        return Trial(
            spec.name, f"{where}: gave no answer within {deadline_s:g} s; see that it is on and that nobody else holds it"
        )
    finally:
        kill_group(process)
        if process.stdout is not None:
            process.stdout.close()
    try:
        told = json.loads(said)
        return Trial(spec.name, told["complaint"], tuple(Shown(**each) for each in told["shown"]))
    except (ValueError, KeyError, TypeError):
        return Trial(spec.name, f"{where}: the process that reads it ended with exit code {process.returncode} and no answer")


def main(arguments: Sequence[str]) -> None:
    """Answer for one meter: ``PARENT``."""
    die_with_parent(int(arguments[0]))
    answer = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not look like an answer
    spec: MeterSpec = from_plain(MeterSpec, json.loads(sys.stdin.read()), "meter")
    shown: list[Shown] = []
    try:
        with open_meters([spec]) as sensors:
            shown = [_show(sensor) for sensor in sensors]
        complaint = ""
    except MeterError as error:
        text = str(error)
        complaint = text if text.startswith(f"meter.{spec.name}") else f"meter.{spec.name}: {text}"
    except Exception as error:  # noqa: BLE001 - a library's error is this meter's, and nobody else's
        complaint = f"meter.{spec.name}: {_why(error)}"
    os.write(answer, json.dumps({"complaint": complaint, "shown": [asdict(each) for each in shown]}).encode())


def _show(sensor: MeterSensor) -> Shown:
    """Read a sensor, a counter twice.

    Raises:
        MeterError: One that energy is told by has no value.
    """
    watts = None
    if sensor.kind in _OF_ENERGY:
        at, value = _first_value(sensor)
        if sensor.kind == "power":
            watts = value / 1e3
        else:
            time.sleep(_APART_S)
            then, later = _first_value(sensor)
            watts = (later - value) / 1e6 / ((then - at) * 1e-9) if later > value else None
    return Shown(sensor.name, sensor.kind, sensor.domain, sensor.evidence, watts)


def _first_value(sensor: MeterSensor) -> tuple[int, int]:
    """Return a sensor's first value with its time, ns; some have none for a while after they were opened."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        why = "it shows no value"
        try:
            value: Any = sensor.read()
        except Exception as error:  # noqa: BLE001 - it is said, if it lasts
            value, why = None, _why(error)
        if value is not None:
            return time.monotonic_ns(), int(value)
        if time.monotonic() > until:
            raise MeterError(f"{sensor.name}: {why}")
        time.sleep(0.05)


def _why(error: Exception) -> str:
    """Return an error in words. Of a library's own error only the name is told: its text may hold a secret."""
    if isinstance(error, MeterError):
        return str(error)
    if isinstance(error, OSError) and error.errno:
        return f"it cannot be read: {os.strerror(error.errno).lower()}"
    return f"it cannot be read ({type(error).__name__})"


if __name__ == "__main__":
    main(sys.argv[1:])
