"""Read the memory modules out of the firmware's table (DMTF DSP0134, SMBIOS Reference Specification, type 17)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

#: Memory Device, and the end of the table.
_MEMORY, _END = 17, 127

#: §7.18.2, Memory Device: Type.
_KINDS = {0x18: "DDR3", 0x1A: "DDR4", 0x1B: "LPDDR", 0x1C: "LPDDR2", 0x1D: "LPDDR3", 0x1E: "LPDDR4", 0x20: "HBM", 0x21: "HBM2"}
_KINDS |= {0x22: "DDR5", 0x23: "LPDDR5", 0x24: "HBM3"}


def modules(table: bytes) -> list[str]:
    """Return a text for every module that is plugged in, such as ``"32 GiB DDR5 4800 MT/s"``; damage ends the list."""
    return [text for kind, data in _structures(table) if kind == _MEMORY and (text := _module(data))]


def _structures(table: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and formatted part of each structure (§6.1.2: header, formatted part, strings, two zero bytes)."""
    at = 0
    while at + 4 <= len(table):
        kind, length = table[at], table[at + 1]
        end = table.find(b"\0\0", at + length)
        if kind == _END or length < 4 or end < 0:
            return
        yield kind, table[at : at + length]
        at = end + 2


def _module(data: bytes) -> str:
    if len(data) < 0x15:
        return ""
    size = struct.unpack_from("<H", data, 0x0C)[0]
    if size in (0, 0xFFFF):
        return ""
    # Bit 15 says kB; 7FFFh sends to the field of 32 bits, in MB.
    megabytes = size if not size & 0x8000 else (size & 0x7FFF) / 1024
    if size == 0x7FFF and len(data) >= 0x20:
        megabytes = struct.unpack_from("<I", data, 0x1C)[0] & 0x7FFFFFFF
    words = [f"{megabytes / 1024:g} GiB", _KINDS.get(data[0x12], "")]
    # The configured speed where there is one: modules are run below what they could be.
    for place in (0x20, 0x15):
        if len(data) >= place + 2 and (speed := struct.unpack_from("<H", data, place)[0]) not in (0, 0xFFFF):
            words.append(f"{speed} MT/s")
            break
    return " ".join(word for word in words if word)
