"""The line to an instrument that takes messages: PyVISA carries them, and every failure becomes a sentence."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Mapping

import pyvisa
from pyvisa.resources import MessageBasedResource
from pyvisa.rname import InvalidResourceName, ResourceName

from npubench.measure.meters.profile import Profile
from npubench.measure.meters.sensor import MeterError

#: After a failed question an instrument is left alone for so long: one that is gone must not take the sampler's time.
_RETRY_NS = 2_000_000_000

#: How much of an answer an error text shows.
SHOWN = 60


class Line:
    """The connection to an instrument. After any failure it is closed: a late answer must not be taken for the next one's.

    Args:
        address: The VISA resource.
        timeout_ms: How long an answer may take.
        visa: PyVISA's name of the VISA library.
        profile: What ends a command and an answer, and how errors are asked for.
    """

    def __init__(self, address: str, timeout_ms: int, visa: str, profile: Profile) -> None:
        self.address = address
        self.timeout_ms, self._visa, self._profile = timeout_ms, visa, profile
        self._resource: MessageBasedResource | None = None
        self._retry_ns = 0

    def open(self) -> None:
        """Connect.

        Raises:
            MeterError: It cannot be reached, or the address is no VISA resource.
        """
        _resolve(self.address)
        try:
            found = pyvisa.ResourceManager(self._visa).open_resource(self.address, open_timeout=self.timeout_ms)
        except Exception as error:  # noqa: BLE001 - a VISA library raises what it likes
            raise MeterError(
                f"settings.address: {self.address} cannot be opened: {_words(error)}; is it on and on the network?"
            ) from None
        if not isinstance(found, MessageBasedResource):
            found.close()
            raise MeterError(f"settings.address: {self.address} takes no messages; a resource ends in ::SOCKET or ::INSTR")
        found.timeout = self.timeout_ms
        found.write_termination = self._profile.write_terminator
        found.read_termination = self._profile.read_terminator
        self._resource = found

    def tell(self, command: str) -> None:
        """Send a command.

        Raises:
            MeterError: It cannot be sent.
        """
        try:
            if self._resource is None:
                self.open()
            assert self._resource is not None
            self._resource.write(command)
        except MeterError:
            self.close()
            raise
        except Exception as error:  # noqa: BLE001 - a VISA library raises what it likes
            self.close()
            raise MeterError(f"settings.address: {self.address} does not take '{command}': {_words(error)}") from None

    def ask(self, query: str) -> str:
        """Return the answer to a query, without its end and the blanks around it.

        Raises:
            MeterError: There is none, or none in time.
        """
        self.tell(query)
        assert self._resource is not None
        try:
            return self._resource.read().strip()
        except Exception as error:  # noqa: BLE001 - a VISA library raises what it likes
            self.close()
            raise MeterError(
                f"settings.address: {self.address} does not answer '{query}' within {self.timeout_ms} ms: {_words(error)}"
            ) from None

    def order(self, command: str, places: Mapping[str, str], where: str = "") -> None:
        """Send a command with its places filled in, and see that the instrument took it.

        Raises:
            MeterError: It refuses it, or cannot be reached.
        """
        self.tell(fill(command, places))
        if self._profile.error:
            answer = self.ask(self._profile.error)
            if not re.search(self._profile.no_error, answer):
                raise MeterError(f"{where}the instrument refuses '{command}': {answer[:SHOWN]}")

    def forget_errors(self) -> None:
        """Read away what earlier work left in the error queue.

        Raises:
            MeterError: It cannot be asked for.
        """
        for _ in range(20 if self._profile.error else 0):
            if re.search(self._profile.no_error, self.ask(self._profile.error)):
                return

    def resting(self) -> bool:
        """Return whether the instrument failed a moment ago and is left alone."""
        return self._resource is None and time.monotonic_ns() < self._retry_ns

    def close(self) -> None:
        """Hang up."""
        resource, self._resource = self._resource, None
        self._retry_ns = time.monotonic_ns() + _RETRY_NS
        if resource is not None:
            with contextlib.suppress(Exception):
                resource.close()


def fill(command: str, places: Mapping[str, str]) -> str:
    """Return a command with its places filled in."""
    for place, text in places.items():
        command = command.replace(f"{{{place}}}", text)
    return command


def _resolve(address: str) -> None:
    """Raise MeterError for an address that is no VISA resource, or whose host is not known: libraries say neither clearly."""
    try:
        parsed = ResourceName.from_string(address)
    except InvalidResourceName:
        raise MeterError(
            f"settings.address: '{address}' is no VISA resource; one over the network is TCPIP::HOST::PORT::SOCKET or "
            "TCPIP::HOST::INSTR"
        ) from None
    host = getattr(parsed, "host_address", None)
    if host:
        try:
            socket.getaddrinfo(host, None)
        except OSError as error:
            raise MeterError(f"settings.address: {host} is not known: {error.strerror}") from None


def _words(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
