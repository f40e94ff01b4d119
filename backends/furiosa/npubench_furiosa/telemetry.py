"""Power, temperature, clock and throttling of a card, through whichever SMI binding is installed.

No unit is taken on trust: a reading that no RNGD could give in that unit is no value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from npubench.contract import Device, Sensor
from npubench_furiosa import smi

#: An RNGD that idles draws 36…41 W (seen on cards of release 2026.3), and no card of its form draws 1 kW.
_WATTS = (5.0, 1000.0)
#: The same bounds in mW. They do not meet those in W, so that a number is one or the other, or neither.
_MILLIWATTS = (5e3, 1e6)

#: The vendor's own tool shows whole watts.
_POWER_QUANTUM_MW = 1000

_CELSIUS = (-40.0, 150.0)
_MEGAHERTZ = (10.0, 10e3)
_HERTZ = (1e7, 1e10)


class CardSensor(Sensor):
    """One quantity of a card; how often it changes is not stated by the vendor.

    Args:
        name, kind, domain, quantum: As in the contract.
        value: Returns the value in the contract's unit, or ``None``.
    """

    def __init__(self, name: str, kind: str, value: Callable[[], int | None], quantum: int | None = None) -> None:
        self.name = name
        self.kind = kind
        self.domain = "card"
        self.quantum = quantum
        self._value = value

    def read(self) -> int | None:
        """Return the value now; ``None`` where the SMI fails or gives what cannot be."""
        try:
            return self._value()
        except Exception:
            return None


def sensors(device: Device) -> Sequence[Sensor]:
    """Return what the installed bindings can read of ``device``; empty without a binding.

    Where both are installed the older one reads: its power is known to be in W from hardware.
    """
    name = device.details.get("card", "")
    handles = {handle.binding: handle for handle in smi.listing().handles if handle.card.name == name}
    confirmed = handles.get("furiosa_smi_py")
    handle = confirmed or handles.get("furiosa_smi")
    if handle is None:
        return ()
    chosen = handle
    return (
        CardSensor(
            "card power" if confirmed else "card power (unit by magnitude)",
            "power",
            lambda: watts_to_mw(smi.power(chosen)) if confirmed else power_to_mw(smi.power(chosen)),
            _POWER_QUANTUM_MW,
        ),
        CardSensor("chip temperature, peak", "temperature", lambda: celsius_to_mc(smi.temperature(chosen))),
        CardSensor("slowest PE clock", "clock", lambda: clock_to_hz(smi.clocks(chosen))),
        CardSensor("throttled", "throttle", lambda: _flag(smi.throttled(chosen)), 1),
    )


def watts_to_mw(value: Any) -> int | None:
    """Return W as mW; ``None`` for what no card draws, a zero included."""
    watts = _number(value)
    return round(watts * 1000) if _within(watts, _WATTS) else None


def power_to_mw(value: Any) -> int | None:
    """Return a power of unstated unit as mW: W and mW of a real card differ by more than either's range."""
    number = _number(value)
    return round(number) if _within(number, _MILLIWATTS) else watts_to_mw(number)


def celsius_to_mc(value: Any) -> int | None:
    """Return °C as m°C; ``None`` for what no chip that answers can have."""
    celsius = _number(value)
    return round(celsius * 1000) if _within(celsius, _CELSIUS) else None


def clock_to_hz(values: Sequence[Any]) -> int | None:
    """Return the slowest clock, Hz, of numbers in MHz or Hz, whose ranges do not meet; ``None`` if any is neither."""
    clocks = []
    for value in values:
        number = _number(value)
        if _within(number, _MEGAHERTZ):
            clocks.append(round(number * 1e6))
        elif _within(number, _HERTZ):
            clocks.append(round(number))
        else:
            return None
    return min(clocks, default=None)


def _flag(value: bool | None) -> int | None:
    return None if value is None else int(value)


def _number(value: Any) -> float:
    """Return a number as float, and what is none as NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value)


def _within(value: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= value <= bounds[1]
