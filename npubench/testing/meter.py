"""Keep a simulated device's power account where another process can read it, and read it there as sensors.

It accounts for a stated law; it measures no real power. The account is a small memory-mapped file per user and device
under the temporary folder: the executor's process writes, the sampler's reads.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import stat
import struct
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from npubench.contract import Sensor
from npubench.testing.laws import Law, energy_uj

#: version, base time, base energy, idle, active, period, last change, busy until then, serving, edge, busy at the
#: edge, busy one period before it; then the CRC-32 of all that.
_LAYOUT = struct.Struct("<12q")
_SIZE = _LAYOUT.size + 4
_VERSION = 1

#: How long a loader waits for a sensor's process that is just making the file, s.
_LOCK_PATIENCE_S = 0.5


@dataclass(frozen=True, slots=True)
class Account:
    """What a simulated device has drawn, as it stands in the file. All times are of ``CLOCK_MONOTONIC``, ns.

    The sensors show the account as of the last *edge*, a whole number of update periods after ``base_ns``. Power is
    constant between two changes, so the busy time at an edge before the last change is all that must be kept.

    Args:
        base_ns: When this account began.
        base_uj: The energy counter then, µJ.
        idle_mw: Power with nothing to do.
        active_mw: Power while serving.
        period_ns: The sensors' update period.
        change_ns: When serving last began or ended.
        busy_ns: Time spent serving until ``change_ns``.
        serving: 1 while at least one request is served, else 0.
        edge_ns: The last edge at or before ``change_ns``.
        edge_busy_ns: Time spent serving until ``edge_ns``.
        prior_busy_ns: Time spent serving until one period before ``edge_ns``.
    """

    base_ns: int
    base_uj: int
    idle_mw: int
    active_mw: int
    period_ns: int
    change_ns: int
    busy_ns: int
    serving: int
    edge_ns: int
    edge_busy_ns: int
    prior_busy_ns: int


def opened(law: Law, now_ns: int, base_uj: int = 0) -> Account:
    """Return the account of a device that begins at ``now_ns`` with its counter at ``base_uj``."""
    return Account(now_ns, base_uj, law.idle_mw, law.active_mw, law.sensor_period_ns, now_ns, 0, 0, now_ns, 0, 0)


def changed(account: Account, serving: bool, now_ns: int) -> Account:
    """Return the account after serving began or ended at ``now_ns``, which is not before the last change."""
    edge = _edge(account, now_ns)
    return Account(
        account.base_ns,
        account.base_uj,
        account.idle_mw,
        account.active_mw,
        account.period_ns,
        change_ns=now_ns,
        busy_ns=_busy(account, now_ns),
        serving=int(serving),
        edge_ns=edge,
        edge_busy_ns=_busy(account, edge),
        prior_busy_ns=_busy(account, edge - account.period_ns),
    )


def shown_energy_uj(account: Account, now_ns: int) -> int:
    """Return what the energy counter shows at ``now_ns``, µJ: the energy drawn until the last edge."""
    edge = _edge(account, now_ns)
    return account.base_uj + energy_uj(_law(account), _busy(account, edge), edge - account.base_ns)


def shown_power_mw(account: Account, now_ns: int) -> int | None:
    """Return what the power gauge shows at ``now_ns``, mW: the mean over the last whole period; None before the first."""
    edge = _edge(account, now_ns)
    if edge == account.base_ns:
        return None
    busy = _busy(account, edge) - _busy(account, edge - account.period_ns)
    return account.idle_mw + round((account.active_mw - account.idle_mw) * busy / account.period_ns)


def _law(account: Account) -> Law:
    return Law(idle_mw=account.idle_mw, active_mw=account.active_mw)


def _edge(account: Account, now_ns: int) -> int:
    """Return the last edge at or before ``now_ns``."""
    return now_ns - (now_ns - account.base_ns) % account.period_ns


def _busy(account: Account, at_ns: int) -> int:
    """Return the time spent serving until ``at_ns``: any time after the last change, or one of the two edges before it."""
    if at_ns >= account.change_ns:
        return account.busy_ns + (at_ns - account.change_ns) * account.serving
    return account.edge_busy_ns if at_ns == account.edge_ns else account.prior_busy_ns


class DeviceInUseError(RuntimeError):
    """Another executor holds the simulated device: like most accelerators it serves one process at a time."""


class Meter:
    """The writing end of a device's account, held by the one executor that has the device."""

    def __init__(self, device: str, law: Law) -> None:
        self._file = _open(device)
        try:
            _lock(self._file, device)
            self._map = mmap.mmap(self._file, _SIZE)
        except BaseException:
            os.close(self._file)
            raise
        now = time.monotonic_ns()
        before = _unpack(self._map[:])
        # The counter goes on where it stood: a device's does, whoever uses it.
        base = shown_energy_uj(before, now) if before is not None and before.base_ns <= now else 0
        self._account = opened(law, now, base)
        self._map[:] = _pack(self._account)
        self._serving = 0

    @property
    def account(self) -> Account:
        """The account as last written."""
        return self._account

    def begin(self, now_ns: int) -> None:
        """Note that a request begins to be served. Callers hold the executor's lock."""
        self._serving += 1
        if self._serving == 1:
            self._change(now_ns)

    def end(self, now_ns: int) -> None:
        """Note that a request has been served. Callers hold the executor's lock."""
        self._serving -= 1
        if self._serving == 0:
            self._change(now_ns)

    def _change(self, now_ns: int) -> None:
        # Threads may reach the lock in another order than they read the clock.
        self._account = changed(self._account, self._serving > 0, max(now_ns, self._account.change_ns))
        self._map[:] = _pack(self._account)

    def close(self) -> None:
        """Give the device up; its sensors go on showing idle power."""
        if self._serving:
            self._serving = 0
            self._change(time.monotonic_ns())
        self._map.close()
        fcntl.flock(self._file, fcntl.LOCK_UN)
        os.close(self._file)


class SimulatedSensor(Sensor):
    """A sensor of a simulated device; the number follows from the law, not from a measurement."""

    def __init__(self, device: str, kind: str, law: Law) -> None:
        self.name = f"SIMULATED {'energy counter' if kind == 'energy' else 'power'}"
        self.kind = kind
        self.domain = law.domain
        self.update_period_ns = law.sensor_period_ns
        self.quantum = 1
        self.averages = True
        self._show = shown_energy_uj if kind == "energy" else shown_power_mw
        with _closing(_open(device)) as file:
            self._map = mmap.mmap(file, _SIZE)
            if _unpack(self._map[:]) is None:
                # Nobody has used the device yet: from now on it draws its idle power.
                with contextlib.suppress(DeviceInUseError):
                    _lock(file, device, patience_s=0.0)
                    self._map[:] = _pack(opened(law, time.monotonic_ns()))
                    # Said, not left to closing: the map keeps a duplicate of the descriptor, and the lock with it.
                    fcntl.flock(file, fcntl.LOCK_UN)

    def read(self) -> int | None:
        """Return µJ or mW as of the last update; None where the account is older than the machine's last start."""
        for _ in range(100):
            account = _unpack(self._map[:])
            if account is not None:
                break
        else:
            return None
        # The executor's options may set another period than the preset this sensor was made with.
        self.update_period_ns = account.period_ns
        now = time.monotonic_ns()
        return self._show(account, now) if account.base_ns <= now else None


def _pack(account: Account) -> bytes:
    body = _LAYOUT.pack(
        _VERSION,
        account.base_ns,
        account.base_uj,
        account.idle_mw,
        account.active_mw,
        account.period_ns,
        account.change_ns,
        account.busy_ns,
        account.serving,
        account.edge_ns,
        account.edge_busy_ns,
        account.prior_busy_ns,
    )
    return body + zlib.crc32(body).to_bytes(4, "little")


def _unpack(data: bytes) -> Account | None:
    """Read an account; None where there is none yet, or where it was read while being written."""
    body = data[: _LAYOUT.size]
    version, *fields = _LAYOUT.unpack(body)
    if version != _VERSION or zlib.crc32(body) != int.from_bytes(data[_LAYOUT.size :], "little"):
        return None
    return Account(*fields)


def _open(device: str) -> int:
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
        if os.fstat(file).st_size < _SIZE:
            os.ftruncate(file, _SIZE)
    except BaseException:
        os.close(file)
        raise
    return file


def _check_own(status: os.stat_result, is_kind: Callable[[int], bool], path: Path) -> None:
    if not is_kind(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise PermissionError(f"{path}: not this user's own; remove it, or set TMPDIR to a folder that is")


def _lock(file: int, device: str, patience_s: float = _LOCK_PATIENCE_S) -> None:
    """Take the device, or raise :class:`DeviceInUseError`."""
    deadline = time.monotonic() + patience_s
    while not _try_lock(file):
        if time.monotonic() >= deadline:
            raise DeviceInUseError(f"{device} is in use by another executor; close it, or set TMPDIR to another folder")
        time.sleep(0.01)


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _closing(file: int) -> Iterator[int]:
    try:
        yield file
    finally:
        os.close(file)
