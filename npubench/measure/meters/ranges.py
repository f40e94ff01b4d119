"""The measuring ranges of an instrument: fixed by the host file, left to the instrument, or chosen by a ranging run.

As in MLPerf power: while the ranging run lasts the instrument chooses and the highest voltage and current are noted; the
measured run then has the smallest ranges that hold them, fixed, so that no switching of ranges loses readings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from npubench.measure.meters.line import SHOWN, Line, fill
from npubench.measure.meters.profile import Profile, Range
from npubench.measure.meters.sensor import MeterError
from npubench.measure.meters.units import number

#: Setting → what it is of, and its unit.
QUANTITIES = {"voltage_range": ("voltage", "V"), "current_range": ("current", "A")}

#: How far a range that is read back may be from the one set: instruments write three or four digits.
_TOLERANCE = 0.01


def pick_range(highest: float, offered: tuple[float, ...]) -> float | None:
    """Return the smallest of a meter's ranges that holds what was seen; None where none does, and it must be left to itself.

    Args:
        highest: The highest voltage, V, or current, A, of the ranging run.
        offered: The meter's ranges, in the same unit.
    """
    return min((each for each in offered if each >= highest), default=None)


class Ranges:
    """An instrument's ranges.

    Args:
        line: To the instrument.
        profile: How its ranges are set and asked for.
        places: What commands have left open.
        wanted: What the host file fixes, by setting: V and A.
        single: Whether one input is read; what several see together says nothing of the ranges of each.

    Attributes:
        in_force: Setting → range, V or A.
        highest: Setting → the highest voltage, V, or current, A, of the ranging run.
        reason: Why the ranges are not fixed by a ranging run; "" = they are.
    """

    def __init__(
        self, line: Line, profile: Profile, places: Mapping[str, str], wanted: Mapping[str, float | None], single: bool
    ) -> None:
        self._line, self._profile, self._places, self._single = line, profile, places, single
        self._wanted = wanted
        both = {"voltage_range": profile.voltage_range, "current_range": profile.current_range}
        self._how: dict[str, Range] = {key: how for key, how in both.items() if how is not None}
        self.in_force: dict[str, float] = {}
        self.highest: dict[str, float] = {}
        self._looks: dict[str, int] = {}
        self.reason = "no ranging run was made"

    def begin(self) -> None:
        """Fix the ranges that the host file fixes, leave the others to the instrument, and read back what is in force.

        Raises:
            MeterError: A range is not to be had.
        """
        for key, value in self._wanted.items():
            how, where = self._how.get(key), f"settings.{key}: "
            if how is None:
                if value is not None:
                    raise MeterError(f"{where}the profile has no [{key}]")
                continue
            if value is None:
                self._free(key, where)
                self.in_force[key] = self._read(key, where)
            else:
                found = self._fix(key, value, where)
                if abs(found - value) > _TOLERANCE * abs(value):
                    raise MeterError(f"{where}the instrument took {found:g} instead of {value:g}; give a range that it has")

    def look(self) -> None:
        """Note the highest voltage and current; an answer that is no number, or none, is left out.

        Raises:
            MeterError: The instrument cannot be asked.
        """
        for key, how in self._how.items():
            if not (how.seen and self._single) or self._line.resting():
                continue
            value = number(self._line.ask(fill(how.seen, self._places)))
            if value is not None:
                self.highest[key] = max(self.highest.get(key, 0.0), abs(float(value)))
                self._looks[key] = self._looks.get(key, 0) + 1

    def fix(self) -> None:
        """Fix what the host file leaves open by what was seen, and see that what it fixes suffices; say why where not."""
        self.reason = ""
        free = {key: self._candidates(key) for key, value in self._wanted.items() if value is None}
        for key, value in self._wanted.items():
            highest, (_, unit) = self.highest.get(key), QUANTITIES[key]
            if value is not None and highest is not None and highest > value:
                self.reason = (
                    f"the range of {value:g} {unit} that the host file fixes does not hold the {highest:.4g} {unit} seen"
                )
        if self.reason:
            return
        try:
            if free:
                self._set(free)
        except MeterError as error:
            self.reason = f"it failed while its ranges were being fixed: {error}"

    def told(self) -> dict[str, Any]:
        """Return what came of it: volts and amps (None = not seen), how often each was seen, the ranges, and the reason."""
        return {
            "volts": self.highest.get("voltage_range"),
            "amps": self.highest.get("current_range"),
            "looks": min((self._looks.get(key, 0) for key in self._how), default=0),
            "ranges": dict(self.in_force),
            "reason": self.reason,
        }

    def _candidates(self, key: str) -> tuple[float, ...]:
        """Return the ranges that hold what was seen, smallest first; none, with the reason, where it cannot be said."""
        how, (what, unit) = self._how.get(key), QUANTITIES[key]
        highest = self.highest.get(key)
        if not self._single:
            self.reason = "it reads several inputs together, and each has ranges of its own"
        elif how is None or not how.seen or not how.offered:
            self.reason = f"its profile does not say how to see its {what} and which ranges it offers"
        elif highest is None:
            self.reason = f"it showed no {what} in the ranging run"
        elif pick_range(highest, how.offered) is None:
            self.reason = f"none of its ranges holds the {highest:.4g} {unit} seen in the ranging run"
        else:
            return tuple(sorted(each for each in how.offered if each >= highest))
        return ()

    def _set(self, free: Mapping[str, tuple[float, ...]]) -> None:
        """Set ranges anew. An energy counter that refuses settings while it counts is stopped, and started from zero."""
        pause = self._profile.pause
        try:
            for command in pause:
                self._line.order(command, self._places)
            for key, candidates in free.items():
                if not self._settle(key, candidates):
                    unit = QUANTITIES[key][1]
                    self.reason = f"it took none of the ranges that hold the {self.highest[key]:.4g} {unit} seen"
        finally:
            for command in self._profile.start if pause else ():
                self._line.order(command, self._places)

    def _settle(self, key: str, candidates: tuple[float, ...]) -> bool:
        """Set the smallest range that the instrument takes: not every model of a series has all of them."""
        for value in candidates:
            try:
                found = self._fix(key, value)
            except MeterError:
                if self._line.resting():
                    raise
                self._line.forget_errors()
                continue
            if found >= self.highest[key]:
                return True
        self._free(key)
        self.in_force[key] = self._read(key)
        return False

    def _fix(self, key: str, value: float, where: str = "") -> float:
        """Fix a range, and return the one that is then in force."""
        for command in self._how[key].fix:
            self._line.order(command, {**self._places, "value": f"{value:g}"}, where)
        found = self.in_force[key] = self._read(key, where)
        return found

    def _free(self, key: str, where: str = "") -> None:
        for command in self._how[key].free:
            self._line.order(command, self._places, where)

    def _read(self, key: str, where: str = "") -> float:
        # A range of an external sensor is answered with a word before it.
        answer = self._line.ask(fill(self._how[key].read, self._places))
        found = number(answer.split(",")[-1])
        if found is None:
            raise MeterError(f"{where}the range in force cannot be read: the instrument says '{answer[:SHOWN]}'")
        return float(found)
