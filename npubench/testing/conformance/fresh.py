"""Look at a plug-in from a fresh interpreter: what importing it brings in, and what an abrupt end leaves behind.

``python -m npubench.testing.conformance.fresh listing MODULE`` and ``… importing MODULE`` answer in JSON;
``… abrupt FILE`` reads an order from standard input, has requests answered, and ends without closing anything.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from npubench.contract.backend import submits
from npubench.contract.runspec import from_plain, to_plain
from npubench.plugins import BACKENDS, plugin_entries
from npubench.testing.conformance.compare import Array
from npubench.testing.conformance.order import Order
from npubench.testing.conformance.subject import Subject, look_inside

#: What an abrupt end exits with, once its request has been answered.
ANSWERED = 71

_MARK = "npubench-fresh:"

#: How long an import or one request may take here, s; less than a check may take.
_PATIENCE_S = 100.0


def brought_in(what: str, module: str) -> list[str]:
    """Return the top-level modules that a fresh interpreter has after ``listing`` the backends or ``importing`` a module.

    Raises:
        RuntimeError: It gave no answer; with how it ended.
    """
    return [str(name) for name in json.loads(_ask([what, module], None, lambda code: code == 0))]


def end_abruptly(order: Order, kept: Path) -> dict[str, Array]:
    """Have a process answer a request and end in the middle of another, without closing; return what it answered.

    Args:
        order: What is checked.
        kept: An ``.npz`` file to leave the answer in.

    Raises:
        RuntimeError: It did not get that far.
    """
    _ask(["abrupt", str(kept)], order, lambda code: code == ANSWERED)
    with np.load(kept) as stored:
        return {name: stored[name] for name in stored.files}


def _ask(arguments: list[str], order: Order | None, ended_well: Callable[[int], bool]) -> str:
    said = subprocess.run(
        [sys.executable, "-m", "npubench.testing.conformance.fresh", *arguments],
        input=json.dumps(to_plain(order)).encode() if order else b"",
        capture_output=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    lines = said.stdout.decode(errors="replace").splitlines()
    answer = next((line.removeprefix(_MARK) for line in lines if line.startswith(_MARK)), "")
    if not answer or not ended_well(said.returncode):
        tail = said.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"a fresh process ended with code {said.returncode} {' '.join(tail)}".strip())
    return answer


def _answer(value: Any) -> None:
    sys.stdout.write("\n" + _MARK + json.dumps(value) + "\n")
    sys.stdout.flush()


def _abrupt(kept: Path) -> None:
    order: Order = from_plain(Order, json.load(sys.stdin), "order")
    subject = Subject(order)
    executor = subject.open()
    inside = look_inside(executor, subject.bundle)
    answer: dict[str, Any] = dict(inside.answers[0])
    np.savez(kept, **answer)
    _answer("answered")
    # And one more is under way when the process ends.
    if submits(executor):
        executor.submit(inside.requests[0], lambda outputs, error: None)
    else:
        threading.Thread(target=executor.execute, args=(inside.requests[0],), daemon=True).start()
    os._exit(ANSWERED)


def main(arguments: list[str]) -> None:
    """Do one of the three."""
    if arguments[0] == "abrupt":
        _abrupt(Path(arguments[1]))
    before = set(sys.modules)
    if arguments[0] == "listing":
        plugin_entries(BACKENDS)
        _answer(sorted(sys.modules))
        return
    importlib.import_module(arguments[1])
    _answer(sorted({name.partition(".")[0] for name in set(sys.modules) - before}))


if __name__ == "__main__":
    main(sys.argv[1:])
