"""A stand-in for a bench meter on a real loopback socket.

It keeps the WT300's rules as far as they are known here (settings are refused while integration runs, headers come unless
switched off, errors queue). It proves that what is sent makes sense to such an instrument, and that nothing it answers becomes
a wrong value; not what the real one's firmware does.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable

#: What the stand-in draws between two questions, Wh, where it is not told a power.
STEP_WH = 0.001

SILENT, HANG_UP = "<silent>", "<hang up>"


class Instrument:
    """A power meter of the WT300 kind."""

    def __init__(self, identity: str = "YOKOGAWA,WT310E,C2PL12345,F1.04") -> None:
        self.identity = identity
        self.heard: list[str] = []
        self.errors: list[str] = []
        self.state = "RES"
        self.items: dict[str, str] = {}
        self.settings = {
            ":INP:VOLT:RANG": "600.0E+00",
            ":INP:CURR:RANG": "20.0E+00",
            ":INP:VOLT:AUTO": "OFF",
            ":INP:CURR:AUTO": "OFF",
            ":COMM:HEAD": "ON",
        }
        #: What it is connected to.
        self.volts, self.amps = "229.80E+00", "0.9700E+00"
        self.volt_ranges: tuple[float, ...] = (15, 30, 60, 150, 300, 600)
        self.amp_ranges: tuple[float, ...] = (0.5, 1, 2, 5, 10, 20)
        #: Power, W, counted by time; and what it is once the current's range is fixed. None = a step with every question.
        self.watts: float | None = None
        self.watts_fixed: float | None = None
        self.watt_hours = 0.0
        #: Query → what is answered instead: a text, silence, or the end of the connection.
        self.instead: dict[str, str] = {}
        #: Answers are sent in pieces of so many bytes.
        self.pieces = 1024
        self.refuses: set[str] = set()
        self._counted = time.monotonic()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def wait_until_heard(self, command: str) -> None:
        """Wait until a command has come in; one that never does fails the test that asks for it."""
        self.wait_until(lambda: command in self.heard)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds: what has no answer is carried out a moment after it was sent."""
        until = time.monotonic() + 30.0
        while not condition() and time.monotonic() < until:
            time.sleep(0.005)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        waiting = b""
        while True:
            try:
                # Acknowledged at once, a command does not hold back the next one.
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                got = connection.recv(4096)
            except OSError:
                return
            if not got:
                return
            waiting += got
            while b"\n" in waiting:
                line, _, waiting = waiting.partition(b"\n")
                answer = self.take(line.decode().strip())
                if answer == HANG_UP:
                    connection.shutdown(socket.SHUT_RDWR)
                    connection.close()
                    return
                if answer is None or answer == SILENT:
                    continue
                sent = answer.encode("latin-1") + (b"" if answer.endswith("\n") or "<cut>" in answer else b"\n")
                sent = sent.replace(b"<cut>", b"")
                try:
                    for start in range(0, len(sent), self.pieces):
                        connection.sendall(sent[start : start + self.pieces])
                except OSError:
                    return

    def take(self, command: str) -> str | None:
        """Carry out a command, or answer a query."""
        self.heard.append(command)
        if command in self.instead:
            return self.instead[command]
        if command == "*IDN?":
            return self.identity
        if command.endswith("?") or "? " in command:
            return self._answer(command)
        self._count()
        self._obey(command)
        return None

    def _power(self) -> float | None:
        fixed = self.settings[":INP:CURR:AUTO"] == "OFF" and self.watts_fixed is not None
        return self.watts_fixed if fixed else self.watts

    def _count(self) -> None:
        """Add what was drawn since the last time at the power there was."""
        now, watts = time.monotonic(), self._power()
        if self.state == "STAR" and watts is not None:
            self.watt_hours += watts * (now - self._counted) / 3600
        self._counted = now

    def _answer(self, query: str) -> str:
        if query == ":STAT:ERR?":
            return self.errors.pop(0) if self.errors else '0,"No error"'
        if query == ":INTEG:STAT?":
            return self._headed(query, self.state)
        if query.startswith(":NUM:NORM:VAL? "):
            what = self.items.get(query.rpartition(" ")[2], "NONE").split(",")[0]
            counts = self.state == "STAR"
            self._count()
            if what == "WH" and counts and self.watts is None:
                self.watt_hours += STEP_WH
            shown = {"WH": f"{self.watt_hours:.5E}" if counts else "NAN", "U": self.volts, "I": self.amps}
            return {**shown, "P": f"{self._power() or 123.45:.5E}"}.get(what, "NAN")
        return self._headed(query, self.settings.get(query[:-1], "0"))

    def _headed(self, query: str, answer: str) -> str:
        return f"{query[:-1]} {answer}" if self.settings[":COMM:HEAD"] == "ON" else answer

    def _obey(self, command: str) -> None:
        key, _, value = command.partition(" ")
        if command in self.refuses:
            self.errors.append('113,"Undefined header"')
        elif key == "*CLS":
            self.errors.clear()
        elif key == ":INTEG:STAR":
            self.state = "STAR"
        elif key == ":INTEG:STOP":
            if self.state != "STAR":
                self.errors.append('842,"Attempt made to stop integration, even though integration was interrupted"')
            self.state = "STOP"
        elif key == ":INTEG:RES":
            self.state, self.watt_hours = "RES", 0.0
        elif self.state == "STAR" and not key.startswith(":COMM"):
            self.errors.append('813,"Invalid operation during integration"')
        elif key.startswith(":NUM:NORM:ITEM"):
            self.items[key.removeprefix(":NUM:NORM:ITEM")] = value
        elif key.endswith(":RANG"):
            ranges = self.volt_ranges if "VOLT" in key else self.amp_ranges
            if float(value) < ranges[0]:
                self.errors.append('221,"Setting conflict"')
            else:
                self.settings[key] = f"{min((r for r in ranges if r >= float(value)), default=ranges[-1]):.2E}"
        else:
            self.settings[key] = value

    def cut(self) -> None:
        """Lose all connections."""
        while self._open:
            gone = self._open.pop()
            with contextlib.suppress(OSError):
                gone.shutdown(socket.SHUT_RDWR)
            gone.close()

    def close(self) -> None:
        """Switch it off."""
        self._server.close()
        self.cut()
