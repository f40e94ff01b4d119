"""Ask the kernel which files this process opens, whatever opens them: fanotify says of every event whose it is.

Without privilege it shows the process of an event only where that is the listener's own (``fanotify_init(2)``, Linux 5.13),
which is just what is asked. Where there is no fanotify nothing is watched: inotify does not say who opened a file, and would
accuse a plug-in of what a backup did.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

#: linux/fanotify.h
_CLOEXEC, _NONBLOCK, _REPORT_FID = 0x1, 0x2, 0x200
_MARK_ADD = 0x1
_OPEN = 0x20
_AT_FDCWD = -100
#: ``struct fanotify_event_metadata``: length, version, reserved, length of this part, mask, descriptor, process.
_EVENT = struct.Struct("=IBBHQii")


class OpenedFiles:
    """Watched files; which of them were opened is known without asking the file system.

    Attributes:
        watching: Whether the kernel takes part.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._watches: dict[int, str] = {}
        self._found: dict[str, None] = {}
        for path in paths:
            # A group a file: an event names a file handle, which is awkward to resolve, and its group at once.
            descriptor = _watch(path)
            if descriptor is None:
                break
            self._watches[descriptor] = str(path)
        self.watching = bool(self._watches)

    def opened(self) -> list[str]:
        """Return the files that this process has opened so far, outside of :meth:`pause`."""
        self._drain(True)
        return list(self._found)

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Do not count what is opened meanwhile."""
        self._drain(True)
        try:
            yield
        finally:
            self._drain(False)

    def _drain(self, count: bool) -> None:
        """Read what has come; a queue that overflowed says of no process that it did anything."""
        own = os.getpid()
        for descriptor, path in self._watches.items():
            with contextlib.suppress(OSError):
                while data := os.read(descriptor, 1 << 16):
                    at = 0
                    while at + _EVENT.size <= len(data):
                        length, _, _, _, mask, _, process = _EVENT.unpack_from(data, at)
                        if count and mask & _OPEN and process == own:
                            self._found[path] = None
                        at += max(length, _EVENT.size)


def _watch(path: Path) -> int | None:
    """Return a descriptor that tells of every opening of a file; ``None`` where the kernel has no such thing."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        descriptor = int(library.fanotify_init(_REPORT_FID | _CLOEXEC | _NONBLOCK, os.O_RDONLY))
        if descriptor < 0:
            return None
        if library.fanotify_mark(descriptor, _MARK_ADD, ctypes.c_uint64(_OPEN), _AT_FDCWD, os.fsencode(path)) != 0:
            os.close(descriptor)
            return None
    except (OSError, AttributeError):
        return None
    return descriptor
