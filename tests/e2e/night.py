"""A night in which nearly everything goes wrong: two suites of faulty targets, each with a good one last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .world import PLAIN, Result, Started, World, one_by_target

#: A run without a completed sample for this long is killed, s; and the deadline of phase close.
WATCHDOG_S = 5

#: Good requests before a fault that strikes in the accuracy phase, of 64 samples, or only after it.
IN_ACCURACY, LATER = 5, 100

#: Target → options of the simulated device, and what the reason must say.
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "raise": ({"fault": "raise", "fault_after": IN_ACCURACY}, r"RuntimeError: SIMULATED device error 0x5A"),
    "raise-later": ({"fault": "raise", "fault_after": LATER}, r"RuntimeError: SIMULATED device error 0x5A"),
    "exit": ({"fault": "exit", "fault_after": LATER}, r"exited with code 3 in phase (warm-up|measure)"),
    "signal": ({"fault": "signal", "fault_after": LATER}, r"killed by SIGSEGV in phase (warm-up|measure)"),
    "nan": ({"fault": "nan", "fault_after": IN_ACCURACY}, r"output 'y' has 1 NaN or Inf of 8 values"),
    "nan-later": ({"fault": "nan", "fault_after": LATER}, r"output 'y' has 1 NaN or Inf of 8 values"),
    "shape": ({"fault": "shape", "fault_after": LATER}, r"output 'y' has shape \[1, 7\], declared is \[1, 8\]"),
    "dtype": ({"fault": "dtype", "fault_after": LATER}, r"output 'y' has dtype float64, declared is float32"),
    "missing-output": ({"fault": "missing-output", "fault_after": LATER}, r"output 'y' is left out"),
    "load-raises": ({"fault": "load-raises"}, r"load: RuntimeError: SIMULATED device error 0x17"),
    "exit-in-load": ({"fault": "exit-in-load"}, r"exited with code 3 in phase load-executor"),
    "late-garbage": ({"fault": "late-garbage", "fault_after": LATER}, r"outputs under load differ from the accuracy phase's"),
    "bad-option": ({"max_in_flight": 0}, r"max_in_flight: must be above 0"),
}

#: The same for native asynchronous completion, two requests in flight.
ASYNCHRONOUS: dict[str, tuple[dict[str, Any], str]] = {
    "stale": ({"fault": "stale", "fault_after": 20}, r"outputs under load differ from the accuracy phase's"),
    "double-done": ({"fault": "double-done", "fault_after": IN_ACCURACY}, r"called done twice"),
    "raise-async": ({"fault": "raise", "fault_after": 20}, r"RuntimeError: SIMULATED device error 0x5A"),
}

#: Those that are only seen from outside, by time.
HANGS: dict[str, tuple[dict[str, Any], str]] = {
    "hang": ({"fault": "hang", "fault_after": IN_ACCURACY}, r"hung in phase accuracy: no sample completed for 5 s"),
    "gil-hang": ({"fault": "gil-hang", "fault_after": LATER}, r"hung in phase (warm-up|measure): no sample completed for 5 s"),
    "hang-in-close": ({"fault": "hang-in-close"}, r"phase close took longer than its deadline of 5 s"),
}
HANGS_ASYNCHRONOUS: dict[str, tuple[dict[str, Any], str]] = {
    "drop-done": ({"fault": "drop-done", "fault_after": IN_ACCURACY}, r"hung in phase accuracy: no sample completed for 5 s"),
}

#: What the plug-in out of tree does.
ACME: dict[str, str] = {
    "exit0": r"exited with code 0 in phase (warm-up|measure)",
    "sys-exit": r"SystemExit: 5",
    "interrupt": r"KeyboardInterrupt",
    "orphans": r"killed by SIGKILL in phase (warm-up|measure)",
    "list": r"execute returned list, not a mapping",
    "noise": r"RuntimeError: ACME error 77",
}

HANGING = [*HANGS, *HANGS_ASYNCHRONOUS]
FAILED = {name: what for group in (FAULTS, ASYNCHRONOUS, HANGS, HANGS_ASYNCHRONOUS) for name, (_, what) in group.items()}


@dataclass(frozen=True)
class Night:
    """What came of it: the quick world and the one that hangs, every record by target (``good`` is the quick one's),
    and how to run either suite once more."""

    worlds: tuple[World, World]
    results: tuple[Result, ...]
    records: dict[str, dict[str, Any]]
    again: Callable[[int], Started]


class BeginningNight:
    """The two suites, started at once: hanging takes time, not work."""

    def __init__(self, new_world: Callable[[str], World], acme: Path) -> None:
        self._env = {"PYTHONPATH": str(acme)}
        quick, slow = self.worlds = new_world("faults"), new_world("hangs")
        overlapping = {"max_in_flight": 2, "asynchronous": True}
        twice = {"workloads": ["probe"], "scenarios": ["offline"], "in_flight": 2}
        limits = {"watchdog_s": WATCHDOG_S, "deadline_s": {"close": WATCHDOG_S}}
        refusing = {"compile-refuses": {**PLAIN, "options": {"fault": "compile-refuses"}}}
        vendors = {mode: {"backend": "acme", "device": "npu0", "options": {"mode": mode}} for mode in (*ACME, "pipe")}
        good = {"targets": ["good"], "workloads": ["probe"]}
        self.suites = (
            quick.suite(
                {**_simulated(FAULTS), **_simulated(ASYNCHRONOUS, **overlapping), **refusing, "good": PLAIN},
                [{"targets": [*FAULTS, *refusing], "workloads": ["probe"]}, {"targets": list(ASYNCHRONOUS), **twice}, good],
                **limits,
            ),
            slow.suite(
                {**_simulated(HANGS), **_simulated(HANGS_ASYNCHRONOUS, **overlapping), **vendors, "good": PLAIN},
                [
                    {"targets": list(HANGS), "workloads": ["probe"]},
                    {"targets": list(HANGS_ASYNCHRONOUS), **twice},
                    {"targets": list(vendors), "workloads": ["acme-sum"]},
                    good,
                ],
                **limits,
            ),
        )
        self.started: list[Started] = [self.again(n) for n in range(2)]

    def again(self, n: int) -> Started:
        """Start one of the suites, once more where it was."""
        world = self.worlds[n]
        return world.start("run", self.suites[n], "--store", world.store(), env=self._env)

    def end(self) -> Night:
        """Wait for both."""
        results = tuple(one.wait() for one in self.started)
        quick, slow = self.worlds
        return Night(self.worlds, results, {**one_by_target(slow.store()), **one_by_target(quick.store())}, self.again)


def _simulated(group: dict[str, tuple[dict[str, Any], str]], **more: Any) -> dict[str, Any]:
    return {name: {**PLAIN, "options": {**options, **more}} for name, (options, _) in group.items()}
