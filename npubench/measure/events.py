"""Tell the supervisor what the worker does: one JSON object a line, through a pipe of its own.

Standard output and error belong to the plug-in, whose SDK may print there at will.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

#: What the worker exits with after it has reported a failure itself.
EXIT_REPORTED = 70
#: And what it exits with when it cannot report any more.
EXIT_UNHEARD = 71

#: What a disk says that takes no more: the operator's to mend, and no fault of the plug-in.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})

#: How much of a plug-in's own words goes into a record.
LONGEST_TEXT = 4000


class Reporter:
    """Write events to the supervisor's pipe; safe from any thread (a line is one ``write`` below PIPE_BUF)."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._descriptor = descriptor
        self.phase = ""
        #: Called before the process ends on a failure, so that what was observed so far is kept.
        self.before_failing: Callable[[], None] = lambda: None

    def send(self, event: str, **values: Any) -> None:
        """Send one event. A pipe that is gone ends the worker: nobody would hear what it finds."""
        line = json.dumps({"event": event, **values}, ensure_ascii=True)
        try:
            os.write(self._descriptor, line.encode() + b"\n")
        except OSError:
            os._exit(EXIT_UNHEARD)

    def fail(self, kind: str, reason: str, error: BaseException | None = None) -> NoReturn:
        """Report that the run has failed, and end the process at once: no query is answered on a plug-in's behalf.

        Args:
            kind: ``"plugin"``, ``"harness"``, ``"skipped"``, ``"input"``, or ``"store"``: the disk is full, nothing is known of
                the run.
            reason: One sentence.
            error: Its traceback goes to the worker's log.
        """
        # Neither a full disk nor what a plug-in did to standard error keeps the reason from being told.
        with contextlib.suppress(Exception):
            if error is not None:
                traceback.print_exception(error)
        with contextlib.suppress(Exception):
            self.before_failing()
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        self.send("failed", kind=kind, phase=self.phase, reason=reason[:LONGEST_TEXT])
        os._exit(EXIT_REPORTED)


def is_full(error: BaseException) -> bool:
    """Return whether an error says that a disk, a quota or a file system takes no more."""
    return isinstance(error, OSError) and error.errno in _FULL


def words(error: BaseException) -> str:
    """Return a vendor error's class and text on one line, bounded."""
    text = " ".join(str(error).split())
    name = type(error).__name__
    return (f"{name}: {text}" if text else name)[:LONGEST_TEXT]
