"""``npubench calibrate --audits``: run honest and dishonest plug-ins under every audit, and count false alarms and misses.

The runs are live, on this machine and as busy as it is: the table differs from one making to the next, and says when and
where it was made.
"""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from rich.table import Table

from npubench.testing.cheats import CHEATS
from npubench.verbs.audit_trials import Trial, run_trials
from npubench.verbs.audit_words import WORDS
from npubench.verbs.console import data, out

COMMAND = "npubench calibrate --audits --out docs/audits.md"

#: How many honest runs there are unless asked otherwise, and how many of each cheat.
HONEST_RUNS, CHEAT_RUNS = 100, 3

#: Nobody can reach it here: the made-up network has too few operations for any declared peak.
_NO_CHEAT = "held against made-up facts only"


@dataclass(frozen=True, slots=True)
class AuditRow:
    """What came of one audit.

    Args:
        audit: Its name.
        judged: In how many honest runs it came to a verdict.
        false_alarms: In how many of them it failed.
        meant: How many runs of cheats it is meant to catch.
        misses: In how many of them it did not fail.
    """

    audit: str
    judged: int
    false_alarms: int
    meant: int
    misses: int


@dataclass(frozen=True, slots=True)
class CheatRow:
    """What came of one cheat.

    Args:
        cheat: Its name.
        audit: The audit that is meant to catch it.
        runs: How many.
        caught: In how many that audit failed.
        also: Other audits that failed, and other rules that spoke, with how often.
    """

    cheat: str
    audit: str
    runs: int
    caught: int
    also: dict[str, int]


def audit_rows(trials: Sequence[Trial]) -> list[AuditRow]:
    """Return a row an audit, in the order in which they are told."""
    rows = []
    for audit in WORDS:
        verdicts = [trial.audits[audit] for trial in trials if not trial.audit and audit in trial.audits]
        meant = [trial for trial in trials if trial.audit == audit]
        rows.append(
            AuditRow(
                audit,
                sum(status != "not-carried-out" for status in verdicts),
                verdicts.count("failed"),
                len(meant),
                sum(not trial.caught for trial in meant),
            )
        )
    return rows


def cheat_rows(trials: Sequence[Trial]) -> list[CheatRow]:
    """Return a row a cheat, in the order of :data:`npubench.testing.cheats.CHEATS`."""
    rows = []
    for cheat in CHEATS:
        runs = [trial for trial in trials if trial.subject == cheat.name]
        also: Counter[str] = Counter()
        for trial in runs:
            also.update(name for name in trial.accused if name != cheat.audit)
            also.update(_rule(other) for other in trial.others)
        rows.append(CheatRow(cheat.name, cheat.audit, len(runs), sum(trial.caught for trial in runs), dict(also)))
    return rows


def _rule(other: str) -> str:
    """Return a rule's name, or in short why a run failed."""
    if "outputs under load differ" in other or "changed after they had been handed over" in other:
        return "canary"
    return "failed" if " " in other else other


def show_audit_accuracy(path: Path | None, as_json: bool, honest: int = HONEST_RUNS, cheats: int = CHEAT_RUNS) -> int:
    """Run everything, print the table, and write it as Markdown if a file is named.

    Returns:
        0, or 1 if an honest run was accused or a cheat was missed.

    Raises:
        NpubenchError: The runs cannot be carried out.
    """
    trials = list(run_trials(honest, cheats))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(markdown(trials, datetime.now(timezone.utc).date().isoformat()), encoding="utf-8")
    if as_json:
        audits, cheats_seen = ([asdict(row) for row in rows] for rows in (audit_rows(trials), cheat_rows(trials)))
        content = {"audits": audits, "cheats": cheats_seen, "trials": [asdict(trial) for trial in trials]}
        data(json.dumps(content, indent=1, ensure_ascii=False))
    else:
        _print(trials)
        if path is not None:
            data(str(path.resolve()))
    return 0 if holds(trials) else 1


def holds(trials: Iterable[Trial]) -> bool:
    """Return whether every cheat is caught by the audit that is meant for it, and no honest run is accused."""
    return all(trial.caught if trial.audit else not trial.accused and trial.status != "failed" for trial in trials)


_AUDIT_HEADS = ("audit", "honest runs judged", "false alarms", "dishonest runs", "misses")
_CHEAT_HEADS = ("cheat", "meant to be caught by", "caught", "spoke as well")


def _audit_cells(row: AuditRow) -> tuple[str, ...]:
    runs = (str(row.meant), str(row.misses)) if row.meant else ("—", _NO_CHEAT)
    return (row.audit, str(row.judged), str(row.false_alarms), *runs)


def _cheat_cells(row: CheatRow) -> tuple[str, ...]:
    also = ", ".join(f"{name} ({count})" for name, count in sorted(row.also.items()))
    return row.cheat, row.audit, f"{row.caught} of {row.runs}", also


def summary(trials: Sequence[Trial]) -> str:
    """Return in one sentence what came of all runs."""
    honest, dishonest = ([trial for trial in trials if bool(trial.audit) is cheating] for cheating in (False, True))
    accused, caught = sum(bool(trial.accused) for trial in honest), sum(trial.caught for trial in dishonest)
    return (
        f"{accused} of {len(honest)} honest runs accused; {caught} of {len(dishonest)} runs of {len(CHEATS)} cheats caught by "
        "the audit that is meant for them"
    )


def markdown(trials: Sequence[Trial], date: str, note: str = "") -> str:
    """Return the page: each audit in words, then what came of the runs.

    Args:
        trials: All runs.
        date: When they were carried out.
        note: What else is to be said of how they were, one line; empty = nothing.
    """
    honest = Counter(trial.subject for trial in trials if not trial.audit)
    lines = [
        "# Audits",
        "",
        "Audits make a figure hard to dispute: after the measured window the harness asks the plug-in again, in ways that a",
        "shortcut does not survive. They are carried out at grade official and with `npubench run --audit`. Each leaves what it",
        "observed in the run's folder, and its verdict with the numbers behind it in the record; a failed one makes the run",
        "invalid (`idle-baseline`: takes the energy above idle away). Where noise would hide what is looked for an audit says",
        "that it cannot tell: it is then not carried out, and neither passed nor failed.",
        "",
        "Times are compared in pairs of short windows of one process, in turn, by the time requests spend in the executor; a",
        "limit is broken only if the whole 99.9% interval of the ratio lies beyond it and the difference is more than 5 µs.",
        "Of the costs, *t* is the grade's audit window: 0.3 s at smoke, 5 s at nightly, 30 s at official.",
        "",
    ]
    for name, words in WORDS.items():
        lines += [f"## {name}", "", words.what, "", f"* Required: {words.required}.", f"* Costs: {words.cost}.", ""]
    lines += [
        "## False alarms and misses",
        "",
        f"Made by `{COMMAND}` on {date}: live runs of the SIMULATED device and of ONNX Runtime on the CPU, with a made-up",
        f"network of three layers, grade smoke with a window of 0.5 s, on {_conditions()}. Another making gives other runs.",
        "",
        f"* {summary(trials)}.",
        *_bound(trials),
        *([f"* {note}"] if note else ()),
        "* Honest runs: " + "; ".join(f"{count} × {name}" for name, count in honest.items()) + ".",
        "",
        "| " + " | ".join(_AUDIT_HEADS) + " |",
        "|---|---:|---:|---:|---:|",
        *("| " + " | ".join(_audit_cells(row)) + " |" for row in audit_rows(trials)),
        "",
        "An honest run that an audit did not judge is one in which it said why it could not be carried out: no declared peak, no",
        "power sensor or none that is certain enough over so short a window, the host's own processor, or a machine too busy to",
        "tell.",
        "",
        "## Cheats",
        "",
        "Each is a small plug-in in `npubench.testing.cheats`. Beside its audit other audits and rules may speak: *canary* is",
        "the comparison of timed outputs that every run has, and fails it.",
        "",
        "| " + " | ".join(_CHEAT_HEADS) + " |",
        "|---|---|---:|---|",
        *("| " + " | ".join(_cheat_cells(row)) + " |" for row in cheat_rows(trials)),
        "",
        *(f"* **{cheat.name}**: {cheat.what}" for cheat in CHEATS),
        "",
        "## What no audit sees",
        "",
        "* A plug-in shares the worker's process. One that undoes every watch of `own-process` at once, in native code, is not",
        "  seen by it; the kernel's clock and LoadGen's own log are held against the trace besides.",
        "* Where there is no power sensor, a device whose host does its work cannot be told from one whose driver spins.",
        "* A cheat on 8-bit runs that stays within the accuracy gate and follows changed weights and inputs is a quantisation.",
    ]
    return "\n".join(lines) + "\n"


def _bound(trials: Sequence[Trial]) -> list[str]:
    """Return how seldom an honest run is accused, where none was: with probability p none of n is, (1 - p)ⁿ = 5 %."""
    honest = [trial for trial in trials if not trial.audit]
    if not honest or any(trial.accused for trial in honest):
        return []
    return [
        f"* None of {len(honest)} means that an honest run is accused in less than {1 - 0.05 ** (1 / len(honest)):.1%}, at 95%."
    ]


def _conditions() -> str:
    return f"{platform.system()} on {platform.machine()} with {len(os.sched_getaffinity(0))} cores, which other work shared"


def _print(trials: Sequence[Trial]) -> None:
    audits = Table(title="Audits: false alarms and misses", title_justify="left")
    for n, head in enumerate(_AUDIT_HEADS):
        audits.add_column(head, justify="right" if n else "left")
    for row in audit_rows(trials):
        audits.add_row(*_audit_cells(row))
    cheats = Table(title="Cheats (SIMULATED device)", title_justify="left")
    for n, head in enumerate(_CHEAT_HEADS):
        cheats.add_column(head, justify="right" if n == 2 else "left")
    for cheat in cheat_rows(trials):
        cheats.add_row(*_cheat_cells(cheat))
    out.print(audits)
    out.print(cheats)
    for trial in trials:
        if not trial.audit and (trial.accused or trial.status == "failed"):
            why = "; ".join(f"{name}: {seen}" for name, seen in trial.observed.items()) or "; ".join(trial.others)
            out.print(f"[red]accused[/]: {trial.subject}, seed {trial.seed}: {why}", markup=True, soft_wrap=True)
    sign = "[green]✔[/]" if holds(trials) else "[red]✘[/]"
    out.print(f"{sign} {summary(trials)}")
