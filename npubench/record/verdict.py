"""What came of checking a bundle, a store or a run: data for people and tools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from npubench.record.crew import MAX_ADDRESS_SPACE, MAX_CPU_S, look_at
from npubench.record.recheck import RunVerdict

State = Literal["holds", "fails", "unknown"]
Kind = Literal["bundle", "store", "run"]

#: Told of each run: how many are done, how many there are, and its verdict.
OnRun = Callable[[int, int, RunVerdict], None]

Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: whether it holds, and what there is to say of it."""

    name: str
    state: State
    text: str


@dataclass(slots=True)
class Verdict:
    """What came of looking at a bundle, a store or a run.

    Args:
        path, kind: What was looked at.
        checks: In order.
        problems: What is wrong outside the runs, one sentence each, with the place.
        runs: Every run that was looked at.
        notes: What a reader should know and nothing is wrong with.
        trusted: Whether a trusted key signed it; ``None`` where nothing is signed, as in a store's folder.
    """

    path: str
    kind: Kind
    checks: list[Check] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    runs: list[RunVerdict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    trusted: bool | None = None

    @property
    def differs(self) -> bool:
        """Whether anything is not as it was sealed or recorded."""
        failed = any(check.state == "fails" and check.name != "trust" for check in self.checks)
        return failed or bool(self.problems) or any(not run.holds for run in self.runs)

    @property
    def unchecked(self) -> bool:
        """Whether something could not be recomputed."""
        return any(run.unchecked for run in self.runs)


def check_runs(
    verdict: Verdict,
    look: Callable[[Thing], RunVerdict],
    asked: Sequence[tuple[str, str, Thing]],
    processes: int,
    on_run: OnRun,
) -> None:
    """Look at runs side by side and put what was found into a verdict.

    Args:
        verdict: Gets the runs, by system and id, and a check that sums them up.
        look: Looks at one.
        asked: System, run id, and what ``look`` takes.
        processes: How many at once; 0 = here.
        on_run: Told of each.
    """
    by_thing = {id(thing): (system, run_id) for system, run_id, thing in asked}
    found = look_at(look, [thing for _, _, thing in asked], processes)
    for done, (thing, seen) in enumerate(found, 1):
        if seen is None:
            died = f"the process that looked at it died: it asks for more than {MAX_ADDRESS_SPACE >> 30} GiB or {MAX_CPU_S} s"
            seen = RunVerdict(*by_thing[id(thing)], None, (died,))
        verdict.runs.append(seen)
        on_run(done, len(asked), seen)
    verdict.runs.sort(key=lambda run: (run.system, run.run_id))
    wrong = sum(not run.holds for run in verdict.runs)
    partly = sum(run.holds and bool(run.unchecked) for run in verdict.runs)
    if wrong:
        check = Check("runs", "fails", f"{wrong:,} of {len(asked):,} do not hold")
    elif partly:
        check = Check("runs", "unknown", f"{partly:,} of {len(asked):,} could not be recomputed in full")
    else:
        check = Check("runs", "holds", f"{len(asked):,}, every figure and verdict recomputed from the trace as recorded")
    verdict.checks.append(check)


def same_traces(traces: Sequence[tuple[str, str]], verdict: Verdict) -> None:
    """Complain of runs that share one trace: no two runs are timed alike to the nanosecond.

    Args:
        traces: Run and digest of its trace.
        verdict: Gets the complaints.
    """
    first: dict[str, str] = {}
    for run, digest in traces:
        if digest in first:
            verdict.problems.append(f"{run}: its trace is that of {first[digest]}: one run under two names")
        first.setdefault(digest, run)
