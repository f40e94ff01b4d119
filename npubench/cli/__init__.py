"""The verbs, read aloud: what each takes, and which file does it.

One module a kind of user's work; each is a table of contents of ``npubench.verbs`` and holds no logic.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any

# First, since it says what to install where the command's own dependencies are missing.
from npubench.cli.app import app

# In the order of ``--help``: one measures, then reads, then keeps, then writes plug-ins.
# isort: split
from npubench.cli import measuring

# isort: split
from npubench.cli import saying

# isort: split
from npubench.cli import keeping

# isort: split
from npubench.cli import plugging

# isort: split
from npubench.errors import NpubenchError

__all__ = ["app", "keeping", "main", "measuring", "plugging", "saying"]

#: Design §10: the exit code of a command that was interrupted.
_INTERRUPTED = 130


def main() -> None:
    """Run the command; every error of the user's or of a target ends as one sentence and an exit code."""
    # A polite kill is the user's interrupt: the worker's group dies with it, finished runs stay.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        result: Any = app(standalone_mode=False)
    except NpubenchError as error:
        _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        result = _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has left; there is nobody to complain to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] in ("typer", "click") and hasattr(error, "format_message"):
            if type(error).__name__ == "NoArgsIsHelpError":
                sys.stderr.write(error.format_message() + "\n")
                raise SystemExit(2) from None
            _complain(error.format_message(), 2)
        raise
    if result == _INTERRUPTED:  # typer's own word for an interrupt as well; no verb returns it
        _complain("interrupted; every finished run is kept, the same command goes on from there", _INTERRUPTED)
    raise SystemExit(result if isinstance(result, int) else 0)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _complain(sentence: str, code: int) -> None:
    sys.stderr.write(f"npubench: {sentence}\n")
    raise SystemExit(code)
