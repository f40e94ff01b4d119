"""``npubench plan``: what a suite would run, without running or fetching anything."""

from __future__ import annotations

import json
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from npubench.plan.decide import wishes
from npubench.plan.grades import GRADES
from npubench.plan.order import round_seed
from npubench.plan.suite import read_host, read_suite
from npubench.plan.workload import workload_names
from npubench.verbs.console import data, err, out
from npubench.verbs.prepare import host_path, look_at_targets


def show_plan(name: str, host: Path | None, as_json: bool) -> int:
    """List every run of a suite with its target, and say which targets cannot be used here."""
    suite, where = read_suite(name)
    file = read_host(host_path(host))
    targets, unusable = look_at_targets(suite, file, where)
    asked = wishes(suite, file, targets, workload_names(), where)
    grade = GRADES[suite.grade]
    most = len(asked) // grade.repeats * grade.most_repeats
    seeds = [round_seed(suite, n + 1) for n in range(grade.repeats)] if grade.ranked else []
    if as_json:
        rows = [
            {
                "workload": w.workload,
                "precision": w.precision,
                "scenario": w.scenario.value,
                "target": w.target.name,
                "repeat": w.repeat,
                "usable": w.target.base not in unusable,
            }
            for w in asked
        ]
        data(
            json.dumps(
                {
                    "suite": suite.name,
                    "grade": suite.grade,
                    "unusable": unusable,
                    "most_runs": most,
                    "order_seeds": seeds,
                    "runs": rows,
                },
                indent=1,
                ensure_ascii=False,
            )
        )
        return 3 if unusable else 0
    table = Table(title=f"{suite.name}: {len(asked)} runs, grade {suite.grade}", title_justify="left")
    for column in ("workload", "precision", "scenario", "target", "window"):
        table.add_column(column, no_wrap=True)
    for w in asked:
        window = max(w.entry.duration_s or 0, grade.duration_s)
        again = f" #{w.repeat + 1}" if w.repeat else ""
        table.add_row(w.workload, w.precision, w.scenario.value, w.target.name + again, f"≥ {window:g} s")
    out.print(table)
    if seeds:
        out.print("in the order they are run in, which is drawn for each round by the suite's digest", soft_wrap=True)
    if most > len(asked):
        out.print(
            f"up to {most} runs: what is less certain than ±{grade.half_width:.0%} after {grade.repeats} processes "
            f"gets more, one at a time, up to {grade.most_repeats}",
            soft_wrap=True,
        )
    for target in targets.values():
        options = ", ".join(f"{key} = {value}" for key, value in target.options.items())
        with_options = f" with {escape(options)}" if options else ""
        out.print(f"{target.name} is {target.backend}:{target.device}{with_options}", soft_wrap=True)
    for name, why in unusable.items():
        err.print(f"[red]target '{name}' cannot be used here[/]: {escape(why)}", soft_wrap=True)
    return 3 if unusable else 0
