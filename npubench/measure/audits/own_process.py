"""Look whether the process is still the harness's: its functions, its clock, the files it alone needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from npubench.measure.audits.bench import Bench


class OwnProcess:
    """Hand over what the guard saw from before the plug-in was loaded until now."""

    name = "own-process"

    def carry_out(self, bench: Bench) -> Mapping[str, Any]:
        """Return what was replaced, what was opened, and how far the clock is off; see :class:`Guard`."""
        return bench.guard.observations()
