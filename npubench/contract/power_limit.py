"""What a backend implements where its device's power can be limited: read it, say what is possible, set it.

Reading is free to do at any time. Setting changes the machine, for whoever else uses the device too: the harness does so
only where suite and host file both ask for it, and puts back what it found.
"""

from __future__ import annotations

from abc import ABC, abstractmethod


class PowerLimit(ABC):
    """The power that a device may draw, mW; of the whole card, where a card has several devices."""

    @abstractmethod
    def read(self) -> int | None:
        """Return the limit that is in force now, mW; ``None`` where the device does not say, never 0 for "unknown".

        Raises:
            Exception: Whatever the SDK raises; the run goes on without the figure, unless it was to set a limit.
        """

    def bounds(self) -> tuple[int, int] | None:
        """Return the least and the highest limit that can be set, mW; ``None`` where the device does not say."""
        return None

    def set(self, milliwatts: int) -> None:
        """Set the limit, mW. Optional: a limit that can only be read leaves this out.

        Raises:
            PermissionError: This user may not; the text says who may.
            Exception: Whatever the SDK raises; nothing is measured then.
        """
        raise NotImplementedError


def can_set(limit: PowerLimit) -> bool:
    """Return whether ``limit`` brings its own ``set``."""
    return type(limit).set is not PowerLimit.set
