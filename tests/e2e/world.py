"""Run the command as its user does: a process of its own, in a folder of its own, with a store of its own.

The simulated device allows one executor a device and user, told apart by TMPDIR, so that every world has its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

#: No command here takes nearly as long; one that does has hung.
PATIENCE_S = 240.0

PLAIN = {"backend": "simulated", "device": "sim:plain"}

#: Rules that a busy machine breaks in a window of a second, through no fault of what is measured: it stalls between two clocks
#: that are compared, or is slower in the window than it was in warm-up, or quicker.
MOODS = frozenset({"duration", "rate-not-certified", "latency-bound", "loadgen-disagrees", "clock-disagrees"})


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The last line on standard error: what a person is left with."""
        return self.err.strip().splitlines()[-1] if self.err.strip() else ""


class Started:
    """A command that runs."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path, err: Path) -> None:
        self.process = process
        self._out, self._err = out, err

    def wait(self) -> Result:
        """Wait for its end; one that hangs is killed and fails the test."""
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        return Result(code, self._out.read_text(encoding="utf-8"), self._err.read_text(encoding="utf-8"))

    def kill(self) -> None:
        """End it, if it has not ended."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, and nobody else."""
        self.process.send_signal(number)


class World:
    """A folder with a TMPDIR, a cache and whatever a test writes; commands run in it."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        self._calls = 0
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("NPUBENCH_", "XDG_"))}
        self.env = {
            **kept,
            "TMPDIR": str(folder / "tmp"),
            "NPUBENCH_CACHE": str(cache),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "COLUMNS": "200",
        }

    def start(self, *arguments: Any, env: Mapping[str, str] = {}, preexec: Callable[[], None] | None = None) -> Started:
        """Start ``npubench ARGUMENTS``."""
        self._calls += 1
        out, err = (self.folder / f"{self._calls}.{end}" for end in ("out", "err"))
        with out.open("wb") as said, err.open("wb") as complained:
            process = subprocess.Popen(
                [sys.executable, "-m", "npubench", *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=complained,
                env={**self.env, **env},
                cwd=self.folder,
                preexec_fn=preexec,
            )
        return Started(process, out, err)

    def __call__(self, *arguments: Any, env: Mapping[str, str] = {}, preexec: Callable[[], None] | None = None) -> Result:
        """Run ``npubench ARGUMENTS`` to its end."""
        return self.start(*arguments, env=env, preexec=preexec).wait()

    def all(self, calls: Sequence[Sequence[Any]]) -> list[Result]:
        """Run commands that measure nothing, two at a time."""
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda call: self(*call), calls))

    def suite(
        self, targets: Mapping[str, Mapping[str, Any]], runs: Sequence[Mapping[str, Any]], name: str = "suite", **top: Any
    ) -> Path:
        """Write a suite file of grade smoke."""
        path = self.folder / f"{name}.toml"
        content = {"schema_version": 1, "name": name, "grade": "smoke", **top}
        lines = [f"{key} = {_toml(value)}" for key, value in content.items()]
        for target, entry in targets.items():
            lines += [f"[target.{target}]", *(f"{key} = {_toml(value)}" for key, value in entry.items())]
        for run in runs:
            lines += ["[[run]]", *(f"{key} = {_toml(value)}" for key, value in run.items())]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def store(self, name: str = "store") -> Path:
        """Return a store's folder."""
        return self.folder / name


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def read_records(store: Path) -> dict[str, dict[str, Any]]:
    """Return run id → record of everything finished in a store; each must be whole JSON."""
    return {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(store.glob("*/*/record.json"))
        if not path.parent.parent.name.startswith(".")
    }


def one_by_target(store: Path) -> dict[str, dict[str, Any]]:
    """Return target → record, for stores with one run a target."""
    records = read_records(store)
    found = {record["spec"]["target"]["name"]: record for record in records.values()}
    assert len(found) == len(records)
    return found


def came_through(record: Mapping[str, Any]) -> bool:
    """Return whether a run was measured to its end: it is ok, or invalid by nothing but what a busy machine does to it."""
    grave = {finding["rule"] for finding in record["findings"] if finding["severity"] == "invalid"}
    return bool(record["status"] == "ok" or (record["status"] == "invalid" and grave <= MOODS))


def code_of(store: Path) -> int:
    """Return the exit code that ``run`` owes to what is in a store: 0 all ok or skipped, 1 some run invalid or failed."""
    return int(any(record["status"] in ("invalid", "failed") for record in read_records(store).values()))


def fingerprint(store: Path) -> dict[str, tuple[str, int]]:
    """Return run id → digest and time of change of its record, to tell that it was not touched."""
    return {
        path.parent.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in store.glob("*/*/record.json")
        if not path.parent.parent.name.startswith(".")
    }


def survivors(folder: Path) -> list[psutil.Process]:
    """Return the processes that speak of ``folder`` in their command line or that inherited a world's TMPDIR in it."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if str(folder) in " ".join(process.cmdline()) or process.environ().get("TMPDIR", "").startswith(str(folder)):
                found.append(process)
    return found


def nobody_left(folder: Path, within_s: float = 120.0) -> bool:
    """Return whether every process of a world is gone, at once or within a while."""
    return wait_until(lambda: not survivors(folder), within_s)


def wait_until(condition: Callable[[], Any], within_s: float = PATIENCE_S, every_s: float = 0.02) -> bool:
    """Wait for a condition; returns whether it came."""
    until = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(every_s)
    return True
