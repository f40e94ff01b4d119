"""Keep a simulated device's account where another process can read it: a small memory-mapped file a user and device.

It lies under the temporary folder; the executor's process writes, the sampler's reads. Reads no clock but to wait for a lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import stat
import struct
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from npubench.testing.account import Account
from npubench.testing.laws import Law, law_from, law_text

#: Version, length and CRC-32 of the law's text, then an account's fields in their order but for the law.
_STATE = struct.Struct("<13q")
#: The CRC-32 of the state follows it, and then, as JSON, the law.
LAW_AT = _STATE.size + 4
_VERSION = 2
#: The size of the file, bytes: many times what a law takes.
SIZE = 4096

#: How long a loader waits for a sensor's process that is just making the file, s.
_PATIENCE_S = 0.5


class DeviceInUseError(RuntimeError):
    """Another executor holds the simulated device: like most accelerators it serves one process at a time."""


def write(board: memoryview, account: Account) -> None:
    """Write an account with its law. Whoever reads meanwhile sees neither."""
    text = law_text(account.law).encode()
    board[LAW_AT : LAW_AT + len(text)] = text
    write_state(board, account, zlib.crc32(text), len(text))


def write_state(board: memoryview, account: Account, law_crc: int | None = None, law_size: int | None = None) -> None:
    """Write an account whose law stands there already: it costs a request a microsecond or two."""
    if law_crc is None or law_size is None:
        _, law_size, law_crc, *_ = _STATE.unpack_from(board)
    state = _STATE.pack(
        _VERSION,
        law_size,
        law_crc,
        account.base_ns,
        account.base_uj,
        account.held,
        account.change_ns,
        account.busy_ns,
        account.serving,
        account.edge_ns,
        account.edge_busy_ns,
        account.edge_serving,
        account.prior_busy_ns,
    )
    board[:LAW_AT] = state + zlib.crc32(state).to_bytes(4, "little")


def read(board: memoryview) -> Account | None:
    """Read an account; None where there is none yet, or where it was read while being written."""
    data = bytes(board)
    version, size, crc, *numbers = _STATE.unpack_from(data)
    if version != _VERSION or zlib.crc32(data[: _STATE.size]) != int.from_bytes(data[_STATE.size : LAW_AT], "little"):
        return None
    text = data[LAW_AT : LAW_AT + max(0, size)]
    law = _law(text) if zlib.crc32(text) == crc else None
    return Account(law, *numbers) if law is not None else None


@functools.lru_cache(maxsize=4)
def _law(text: bytes) -> Law | None:
    with contextlib.suppress(ValueError, TypeError):
        return law_from(text)
    return None


def open_board(device: str) -> int:
    """Open the device's file, making it where needed, and return its descriptor.

    Raises:
        PermissionError: The folder or the file is not this user's own, or is a link.
    """
    folder = Path(tempfile.gettempdir()) / f"npubench-simulated-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    _check_own(folder.lstat(), stat.S_ISDIR, folder)
    path = folder / f"{device.replace(':', '-').replace('/', '-')}.account"
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _check_own(os.fstat(file), stat.S_ISREG, path)
        if os.fstat(file).st_size < SIZE:
            os.ftruncate(file, SIZE)
    except BaseException:
        os.close(file)
        raise
    return file


def _check_own(status: os.stat_result, is_kind: Callable[[int], bool], path: Path) -> None:
    if not is_kind(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise PermissionError(f"{path}: not this user's own; remove it, or set TMPDIR to a folder that is")


def lock(file: int, device: str, patience_s: float = _PATIENCE_S) -> None:
    """Take the device, or raise :class:`DeviceInUseError`."""
    deadline = time.monotonic() + patience_s
    while not _try_lock(file):
        if time.monotonic() >= deadline:
            raise DeviceInUseError(f"{device} is in use by another executor; close it, or set TMPDIR to another folder")
        time.sleep(0.01)


def unlock(file: int) -> None:
    """Give the device up. Said, not left to closing: a map keeps a duplicate of the descriptor, and the lock with it."""
    fcntl.flock(file, fcntl.LOCK_UN)


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def closing(file: int) -> Iterator[int]:
    """Close a descriptor at the end."""
    try:
        yield file
    finally:
        os.close(file)
