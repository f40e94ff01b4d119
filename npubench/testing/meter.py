"""The two ends of a simulated device's power account: the executor's, which writes it, and the sensors', which show it."""

from __future__ import annotations

import contextlib
import mmap
import os
import time
from dataclasses import replace

import numpy as np

from npubench.contract import Sensor
from npubench.testing import board
from npubench.testing.account import SHOWN, Account, busy_until, changed, opened, shown_energy_uj
from npubench.testing.laws import Law, sensor_of
from npubench.testing.showing import is_given

#: Kind of sensor → what it is called.
NAMES = {
    "energy": "energy counter",
    "power": "power",
    "clock": "clock",
    "temperature": "temperature",
    "throttle": "throttle flag",
}


class Meter:
    """The writing end of a device's account, held by the one executor that has the device."""

    def __init__(self, device: str, law: Law) -> None:
        self._file = board.open_board(device)
        try:
            board.lock(self._file, device)
            self._map = mmap.mmap(self._file, board.SIZE)
        except BaseException:
            os.close(self._file)
            raise
        self._board = memoryview(self._map)
        now = time.monotonic_ns()
        before = board.read(self._board)
        # The counter goes on where it stood: a device's does, whoever uses it.
        base = shown_energy_uj(before, now) if before is not None and before.base_ns <= now else 0
        self._account = opened(law, now, base)
        board.write(self._board, self._account)
        self._serving = 0

    @property
    def account(self) -> Account:
        """The account as last written."""
        return self._account

    def busy_ns(self, now_ns: int) -> int:
        """Return the time spent serving until now. Callers hold the executor's lock."""
        return busy_until(self._account, now_ns)

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
        board.write_state(self._board, self._account)

    def close(self) -> None:
        """Give the device up; its sensors go on showing idle power."""
        self._serving = 0
        if self._account.serving:
            self._change(time.monotonic_ns())
        self._account = replace(self._account, held=0)
        board.write_state(self._board, self._account)
        self._board.release()
        self._map.close()
        board.unlock(self._file)
        os.close(self._file)


class SimulatedSensor(Sensor):
    """A sensor of a simulated device; the number follows from the law, not from a measurement."""

    def __init__(self, device: str, kind: str, law: Law) -> None:
        self.name = f"SIMULATED {NAMES[kind]}"
        self.kind = kind
        self._generator = np.random.default_rng([law.seed, *kind.encode()])
        self._be_as(law)
        with board.closing(board.open_board(device)) as file:
            self._board = memoryview(mmap.mmap(file, board.SIZE))
            # Whoever can lock it sees that no executor has the device; one that was killed did not say so.
            with contextlib.suppress(board.DeviceInUseError):
                board.lock(file, device, patience_s=0.0)
                account = board.read(self._board)
                if account is None:
                    # Nobody has used the device yet: from now on it draws its idle power.
                    board.write(self._board, opened(law, time.monotonic_ns(), held=False))
                elif account.held:
                    board.write_state(self._board, replace(account, held=0))
                board.unlock(file)

    def read(self) -> int | None:
        """Return the value as of the last update, in the unit of its kind.

        None where the account is older than the machine's last start, and for the share of readings that the law drops.
        """
        for _ in range(100):
            account = board.read(self._board)
            if account is not None:
                break
        else:
            return None
        if account.held and account.law is not self._law:
            # The executor's options may say otherwise than the preset this sensor was made with.
            self._be_as(account.law)
        now = time.monotonic_ns()
        if account.base_ns > now or not is_given(sensor_of(account.law, self.kind), self._generator):
            return None
        return SHOWN[self.kind](account, now)

    def _be_as(self, law: Law) -> None:
        """Say of itself what a law has it say."""
        self._law = law
        model = sensor_of(law, self.kind)
        self.domain = law.domain
        self.update_period_ns = model.period_ns if model.declared else None
        self.quantum = model.quantum if model.declared else None
        self.averages = model.averages if model.declared else None
        self.wraps_at = model.wraps_at
