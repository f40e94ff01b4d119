"""Have checks carried out in a process of their own, from outside: a crash or a hang is a finding, and the rest goes on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from npubench.contract.runspec import to_plain
from npubench.measure.process import kill_group
from npubench.testing.conformance.order import Order
from npubench.testing.conformance.verdict import FAILED, STATUSES, Check, Result, walk

#: How long a process that hangs may take to write down where, s.
_STACKS_S = 0.3

#: How long a process that has nothing more to do may take to leave, s.
_LEAVE_S = 5.0

#: No answer is longer, bytes.
_LONGEST = 1 << 20


class _EndedError(Exception):
    """The process is no more; the text says how it ended."""


class _Child:
    """A process that carries out checks."""

    def __init__(self, order: Order, python: str, env: Mapping[str, str]) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in _end
        asked, self._asking = os.pipe()
        self._answers, answering = os.pipe()
        try:
            self._process = subprocess.Popen(
                [python, "-m", "npubench.testing.conformance.child", str(asked), str(answering), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env={**os.environ, **env},
                pass_fds=(asked, answering),
                start_new_session=True,
            )
        except OSError:
            os.close(self._asking)
            os.close(self._answers)
            self._log.close()
            raise
        finally:
            os.close(asked)
            os.close(answering)
        self._left = b""
        self._tell(json.dumps(to_plain(order)))

    def ask(self, name: str, deadline_s: float) -> Result:
        """Return what a check found.

        Raises:
            _EndedError: The process ended, or was killed because it hung.
        """
        self._mark = self._log.seek(0, os.SEEK_END)
        self._tell(name)
        end = time.monotonic() + deadline_s
        while True:
            line, found, rest = self._left.partition(b"\n")
            if found:
                self._left = rest
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    result = Result(**json.loads(line))
                    if result.name == name and result.status in STATUSES:
                        return result
                continue  # a plug-in that writes into every descriptor is not listened to
            if not select.select([self._answers], [], [], max(0.0, end - time.monotonic()))[0]:
                raise _EndedError(self._hung(deadline_s))
            data = os.read(self._answers, 1 << 16)
            if not data:
                raise _EndedError(self._ending())
            self._left = (self._left + data)[-_LONGEST:]

    def close(self) -> None:
        """Let it leave, and end it with everything it started."""
        os.close(self._asking)
        self._asking = -1
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_LEAVE_S)
        self._end()

    def _end(self) -> None:
        kill_group(self._process)
        for descriptor in (self._asking, self._answers):
            if descriptor >= 0:
                os.close(descriptor)
        self._asking = self._answers = -1
        self._log.close()

    def _tell(self, line: str) -> None:
        with contextlib.suppress(OSError):  # it is gone; its end is seen when it is asked
            os.write(self._asking, line.encode() + b"\n")

    def _hung(self, deadline_s: float) -> str:
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGUSR1)
            time.sleep(_STACKS_S)
        # The thread that carries the check out has got the signal; others are listed as well.
        where = re.findall(r'Current thread [^\n]*\n\s*File "([^"]+)", line (\d+) in (\S+)', self._said())
        kill_group(self._process)
        at = f"; it stood in {where[0][2]} ({where[0][0].rpartition('/')[2]}:{where[0][1]})" if where else ""
        self._end()
        return f"no end within {deadline_s:g} s{at}"

    def _ending(self) -> str:
        # It may still be on its way out: what holds the pipe is not what is waited for.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_LEAVE_S)
        code = self._process.poll()
        tail = [row for row in self._said().splitlines() if row.strip()][-3:]
        self._end()
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                how = f"the process was ended by {signal.Signals(-code).name}"
                return how + (f"; its last words: {' | '.join(tail)}"[:600] if tail else "")
        return f"the process ended with code {code}" + (f"; its last words: {' | '.join(tail)}"[:600] if tail else "")

    def _said(self) -> str:
        """Return what was printed since the check began."""
        self._log.seek(self._mark)
        return self._log.read(_LONGEST).decode(errors="replace")


def examine(
    order: Order,
    checks: Sequence[Check],
    python: str = "",
    env: Mapping[str, str] | None = None,
    longest_s: float | None = None,
) -> Iterator[Result]:
    """Carry checks out in ``python`` (default: this interpreter), and yield what each found.

    Args:
        order: What is to be checked; its ``work`` must be a folder.
        checks: Which.
        python: The interpreter that has the plug-in.
        env: Added to its environment.
        longest_s: How long any check may take, s, where it is less than the check's own deadline.

    Raises:
        OSError: The interpreter cannot be started.
    """
    child: _Child | None = None

    def ask(check: Check) -> Result:
        nonlocal child
        if check.fresh and child is not None:
            child.close()
            child = None
        if child is None:
            child = _Child(order, python or sys.executable, env or {})
        begun = time.monotonic()
        try:
            return child.ask(check.name, min(check.deadline_s, longest_s or check.deadline_s))
        except _EndedError as ended:
            child = None
            return Result(check.name, FAILED, str(ended), time.monotonic() - begun)

    try:
        yield from walk(checks, ask)
    finally:
        if child is not None:
            child.close()


def plain(result: Result, check: Check) -> dict[str, Any]:
    """Return a result with its check's words, as plain JSON values."""
    return {
        "name": check.name,
        "status": result.status,
        "needs": check.needs,
        "missing": result.missing,
        "expected": check.expected,
        "seen": result.seen,
        "advice": check.advice,
        "seconds": round(result.seconds, 3),
    }
