"""``npubench doctor``: what on this machine would spoil a measurement, each with what to do. Advice, not a verdict."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import psutil
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from npubench.measure import neighbours, process, surroundings
from npubench.measure.surroundings import ROOT, Sight
from npubench.plan.suite import read_host
from npubench.plan.wheels import npubench_cache
from npubench.verbs import meters
from npubench.verbs.console import data, err, out
from npubench.verbs.prepare import host_path

#: For how long the counters of CPU time are watched, s.
WATCH_S = 1.0

_SIGNS = {"ok": ("✔", "green"), "warn": ("▲", "yellow"), "unknown": ("?", "blue")}


def examine(host: Path | None, store: Path, strict: bool, as_json: bool) -> int:
    """Look at this machine and say what is there.

    Args:
        host: The host file, if one is given; its free cores are kept out of what workers may use, and its meters are read.
        store: Where records would go.
        strict: Let a warning decide the exit code.
        as_json: Print JSON.

    Returns:
        The exit code: 0, or 1 with ``strict`` where anything is ``warn``.

    Raises:
        InputError: The host file is not there or wrong.
    """
    here = read_host(host_path(host))
    with err.status("looking at this machine"):
        sights = look(store, npubench_cache(), here.free_cores)
        if here.meter:
            # Those that are named say more than what could be named.
            sights = [sight for sight in sights if sight.name != "meters"] + meters.sights(here)
    if as_json:
        data(json.dumps([asdict(sight) for sight in sights], indent=1, ensure_ascii=False))
    else:
        _print(sights)
    return int(strict and any(sight.verdict == "warn" for sight in sights))


def look(store: Path, cache: Path, free_cores: Sequence[int] = (), root: Path = ROOT, watch_s: float = WATCH_S) -> list[Sight]:
    """Return everything there is to see, in the order of how often it spoils a run.

    Args:
        store: Where records would go.
        cache: Where bundles and artefacts are.
        free_cores: Logical CPUs that workers leave alone.
        root: The machine.
        watch_s: For how long CPU time is watched, s.
    """
    own = _own_processes()
    before = neighbours.count(root)
    time.sleep(watch_s)
    after = neighbours.count(root)
    allowed = sorted(os.sched_getaffinity(0))
    for_workers = [core for core in allowed if core not in free_cores] or allowed
    return [
        neighbours.load(before, after, os.cpu_count() or 1, own, root),
        neighbours.holders(own, root),
        surroundings.governor(root),
        surroundings.turbo(root),
        surroundings.heat(root),
        surroundings.power_supply(root),
        surroundings.memory(root),
        surroundings.swap(root),
        neighbours.virtualisation(before, after, root),
        neighbours.cpu_quota(root),
        neighbours.memory_limit(root),
        neighbours.cores(for_workers, root),
        surroundings.smt(root),
        surroundings.numa(for_workers, root),
        surroundings.clock_source(root),
        surroundings.timer(*_timer()),
        surroundings.huge_pages(root),
        surroundings.limits(root),
        surroundings.meters(root),
        surroundings.room("store", store.absolute()),
        surroundings.room("cache", cache),
    ]


def _own_processes() -> set[int]:
    """Return this process and those that wait for it: a shell, a terminal."""
    own = {os.getpid()}
    with contextlib.suppress(psutil.Error):
        own |= {parent.pid for parent in psutil.Process().parents()}
    return own


def _timer() -> tuple[int | None, int | None]:
    """Return the resolution of the monotonic clock and the timer slack that a worker would get, ns."""
    slack = process.prepare(()).get("timer_slack_ns")
    return round(time.clock_getres(time.CLOCK_MONOTONIC) * 1e9), slack if isinstance(slack, int) else None


def _print(sights: Sequence[Sight]) -> None:
    rows = Table.grid(padding=(0, 2, 0, 0))
    rows.add_column(no_wrap=True)
    rows.add_column(no_wrap=True, style="bold")
    rows.add_column(overflow="fold")
    for sight in sights:
        sign, colour = _SIGNS[sight.verdict]
        text = Text(sight.seen)
        if sight.verdict != "ok":
            text.append(f"\n{sight.why}", style="dim")
            text.append(f"\n→ {sight.advice}")
        rows.add_row(Text(sign, style=colour), Text(sight.name), text)
    out.print(Padding(rows, (0, 0)))
    counts = {verdict: sum(sight.verdict == verdict for sight in sights) for verdict in _SIGNS}
    worth = f"{counts['warn']} to look after" if counts["warn"] else "nothing to look after"
    out.print(Text(f"\n{worth}, {counts['ok']} ok, {counts['unknown']} that this machine does not show", style="bold"))
