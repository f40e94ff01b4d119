"""Decide from what is in the store which plan entries are measured once more, and which are still uncertain at the end.

The decision on a round rests on the rounds before it alone, so that a suite which is resumed goes on as it would have gone on.
"""

from __future__ import annotations

from collections.abc import Sequence

from npubench.analyze.finding import Finding
from npubench.analyze.metrics import HEADLINE
from npubench.analyze.repeats import wants_another, wide_interval
from npubench.contract.runspec import RunSpec
from npubench.errors import RecordError
from npubench.plan.decide import draw_round, repeated
from npubench.plan.grades import GRADES
from npubench.plan.suite import SuiteFile
from npubench.record.store import Store, read_record


def next_round(planned: Sequence[RunSpec], suite: SuiteFile, store: Store, system_id: str, repeat: int) -> list[RunSpec]:
    """Return the runs of one more round, in its order; none where every interval is narrow enough or the limit is reached.

    Args:
        planned: The plan's runs; those of its first round name its entries.
        suite: The suite.
        store: Has the rounds before.
        system_id: Of this machine.
        repeat: Which round, counted from 0; all rounds before have been carried out.
    """
    grade = GRADES[suite.grade]
    wide = [
        spec for spec in planned if spec.repeat == 0 and wants_another(_headlines(spec, repeat, store, system_id) or [], grade)
    ]
    return draw_round(wide, suite, repeat)


def still_wide(planned: Sequence[RunSpec], suite: SuiteFile, store: Store, system_id: str) -> list[tuple[RunSpec, Finding]]:
    """Return the plan entries whose interval is wide although as many repeats as the grade allows are in the store."""
    grade = GRADES[suite.grade]
    found = []
    for spec in planned:
        values = _headlines(spec, grade.most_repeats, store, system_id) if spec.repeat == 0 else None
        finding = wide_interval(values, grade) if values else None
        if finding is not None:
            found.append((spec, finding))
    return found


def _headlines(spec: RunSpec, repeats: int, store: Store, system_id: str) -> list[float] | None:
    """Return an entry's headline in each of its first ``repeats`` processes; None where one is not there, or not ok."""
    metric = HEADLINE[spec.load.scenario].metric
    values = []
    for repeat in range(repeats):
        folder = store.root / system_id / repeated(spec, repeat).run_id
        try:
            record = read_record(folder / "record.json")
        except RecordError:
            return None
        estimate = record.metrics.get(metric)
        if record.status != "ok" or estimate is None or estimate.value is None:
            return None
        values.append(estimate.value)
    return values
