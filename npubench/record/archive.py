"""The container of an evidence bundle: a ZIP archive that can be written in one way only.

Any unzip opens it. Reading is stricter than that: every byte that is no member's content follows from names, sizes and
checksums, so that headers are made again and compared, members lie end to end, and nothing hides between or behind them.
The format is PKWARE's APPNOTE 6.3.10, sections 4.3 and 4.5.3.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from npubench.record.manifest import MAGIC, MAGIC_CONTENT, SealedFile, digest_of, unsafe_name

#: The largest member, bytes, unpacked.
MAX_MEMBER_BYTES = 2 << 30
#: The most members, and the most bytes of the archive's directory.
MAX_MEMBERS, MAX_DIRECTORY_BYTES = 200_000, 64 << 20

STORED, DEFLATED = 0, 8

#: Kinds of files that are compressed already.
_PACKED = (".npz", ".gz", ".zip")
_BLOCK = 1 << 20

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR = struct.Struct("<4sIQI")
_EXTRA64 = struct.Struct("<HHQ")

#: Bit 11: the name is UTF-8.
_UTF8 = 0x800
#: 1 January 1980, the earliest there is: a time of day in a header would be one more thing to doubt.
_DATE = 0x21
#: A plain file that all may read, by Unix.
_MADE_BY, _ATTRIBUTES = 0x0314, 0o100644 << 16
#: From here on, ZIP64 fields hold the value (APPNOTE 4.4.1.4).
_LIMIT, _LIMIT_COUNT = 0xFFFFFFFF, 0xFFFF


class ArchiveError(ValueError):
    """The archive is damaged so that it cannot be read further; the text names the place."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member as the archive's directory has it; sizes in bytes, ``offset`` of its header in the file."""

    name: str
    method: int
    crc: int
    packed_size: int
    size: int
    offset: int

    @property
    def end(self) -> int:
        """Where the next member begins."""
        return self.offset + _LOCAL.size + len(self.name.encode()) + self.packed_size


class ArchiveWriter:
    """Write an archive into a file that can be sought in; memory does not grow with what is packed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._members: list[Member] = []
        self.add_bytes(MAGIC, MAGIC_CONTENT)

    def add_bytes(self, name: str, data: bytes) -> SealedFile:
        """Add a small member as it is."""
        member = Member(name, STORED, zlib.crc32(data), len(data), len(data), self._file.tell())
        self._file.write(_local(member) + data)
        self._members.append(member)
        return SealedFile(name, len(data), digest_of(data), len(data), digest_of(data))

    def add_file(self, name: str, path: Path) -> SealedFile:
        """Add a file, compressed unless its kind is already.

        Raises:
            ValueError: It is too large for an archive.
            OSError: It cannot be read, or the archive cannot be written.
        """
        packer = None if path.suffix in _PACKED else zlib.compressobj(6, zlib.DEFLATED, -15)
        content, packed = hashlib.sha256(), hashlib.sha256()
        crc = size = packed_size = 0
        offset = self._file.tell()
        blank = Member(name, STORED if packer is None else DEFLATED, 0, 0, 0, offset)
        self._file.write(_local(blank))
        with path.open("rb") as source:
            while True:
                block = source.read(_BLOCK)
                crc, size = zlib.crc32(block, crc), size + len(block)
                if size > MAX_MEMBER_BYTES:
                    raise ValueError(f"{path}: larger than {MAX_MEMBER_BYTES:,} bytes, which is too large to be sealed")
                content.update(block)
                out = block if packer is None else packer.compress(block) if block else packer.flush()
                packed.update(out)
                packed_size += len(out)
                self._file.write(out)
                if not block:
                    break
        member = Member(name, blank.method, crc, packed_size, size, offset)
        self._file.seek(offset)
        self._file.write(_local(member))
        self._file.seek(member.end)
        self._members.append(member)
        return SealedFile(name, size, "sha256:" + content.hexdigest(), packed_size, "sha256:" + packed.hexdigest())

    def finish(self) -> None:
        """Write the directory."""
        start = self._file.tell()
        for member in self._members:
            self._file.write(_central(member))
        self._file.write(_ending(len(self._members), self._file.tell() - start, start))


def is_bundle(path: Path) -> bool:
    """Return whether a file begins or ends as an evidence bundle does; one that is damaged at one end still does at the other."""
    head = _local(Member(MAGIC, STORED, zlib.crc32(MAGIC_CONTENT), len(MAGIC_CONTENT), len(MAGIC_CONTENT), 0)) + MAGIC_CONTENT
    with path.open("rb") as file:
        if file.read(len(head)) == head:
            return True
        file.seek(max(0, path.stat().st_size - MAX_DIRECTORY_BYTES))
        tail, seen = b"", False
        while not seen and (block := file.read(_BLOCK)):
            seen = _CENTRAL_START in tail + block
            tail = block[-len(_CENTRAL_START) :]
    return seen


def read_directory(file: BinaryIO) -> tuple[list[Member], list[str]]:
    """Read an archive's directory.

    Returns:
        Its members in order, and a sentence for everything in it that npubench does not write.

    Raises:
        ArchiveError: It cannot be followed: truncated, overlapping, out of order, of unsafe names, or beyond a limit.
    """
    size = file.seek(0, os.SEEK_END)
    count, length, start, ending = _read_ending(file, size)
    if count > MAX_MEMBERS or length > MAX_DIRECTORY_BYTES:
        raise ArchiveError(f"the archive's directory declares {count:,} members in {length:,} bytes, beyond every limit")
    if start + length + len(ending) != size:
        raise ArchiveError("the archive's directory does not end where the file does: truncated, or bytes were added")
    file.seek(start)
    directory = file.read(length)
    members: list[Member] = []
    complaints: list[str] = []
    at = expected = 0
    for _ in range(count):
        member, raw = _read_central(directory, at)
        at += len(raw)
        if why := unsafe_name(member.name):
            raise ArchiveError(f"member {member.name[:80]!r}: its name {why}")
        if member.offset != expected:
            raise ArchiveError(f"member '{member.name}': does not begin where the one before it ends, or in its place")
        if member.method == STORED and member.packed_size != member.size:
            raise ArchiveError(f"member '{member.name}': is stored as it is, but in another size")
        if raw != _central(member):
            complaints.append(f"member '{member.name}': {_oddity(raw)}")
        expected = member.end
        members.append(member)
    if at != length or expected != start:
        raise ArchiveError("the archive's directory and its members do not fill the file: hidden or missing bytes")
    if ending != _ending(count, length, start):
        complaints.append("the end of the archive's directory: has bytes that npubench does not write")
    return members, complaints


def unpack(file: BinaryIO, member: Member, known: SealedFile, write: Callable[[bytes], object]) -> list[str]:
    """Unpack a member block by block, and hold it against the manifest.

    Args:
        file: The archive.
        member: As the directory has it.
        known: As the manifest has it.
        write: Takes the content, block by block; never more of it than the manifest declares.

    Returns:
        What is wrong, one sentence each; empty where every byte is as it was sealed.
    """
    wrong: list[str] = []
    content, packed = hashlib.sha256(), hashlib.sha256()
    crc = size = 0
    if (member.size, member.packed_size) != (known.size, known.packed_size):
        return [f"declares {member.size:,} bytes, the manifest {known.size:,}"]
    file.seek(member.offset)
    header = _local(member)
    if file.read(len(header)) != header:
        wrong.append("its header is not the one it was sealed with")
    try:
        for block in _unpacked(file, member, packed.update):
            size += len(block)
            if size > known.size:
                return [*wrong, f"unpacks to more than the {known.size:,} bytes it declares"]
            crc = zlib.crc32(block, crc)
            content.update(block)
            write(block)
    except (zlib.error, EOFError) as error:
        return [*wrong, f"cannot be unpacked: {error}"]
    if size != known.size:
        wrong.append(f"unpacks to {size:,} bytes, the manifest declares {known.size:,}")
    elif "sha256:" + content.hexdigest() != known.sha256:
        wrong.append("its content is not what was sealed: another digest")
    elif "sha256:" + packed.hexdigest() != known.packed_sha256:
        wrong.append("its content is what was sealed, but its compressed form was changed")
    elif crc != member.crc:
        wrong.append("its checksum in the archive's directory was changed")
    return wrong


def read_small(file: BinaryIO, member: Member, limit: int) -> bytes:
    """Return a stored member's content.

    Raises:
        ArchiveError: Compressed, too large, truncated, or its header or checksum is damaged.
    """
    if member.method != STORED or member.size > limit:
        raise ArchiveError(f"member '{member.name}': is compressed or larger than {limit:,} bytes")
    file.seek(member.offset)
    header = _local(member)
    if file.read(len(header)) != header:
        raise ArchiveError(f"member '{member.name}': its header is not the one it was sealed with")
    data = file.read(member.size)
    if len(data) != member.size or zlib.crc32(data) != member.crc:
        raise ArchiveError(f"member '{member.name}': was changed: its checksum is another")
    return data


def _unpacked(file: BinaryIO, member: Member, see: Callable[[bytes], object]) -> Iterator[bytes]:
    """Yield a member's content in blocks of bounded size; ``see`` is shown the bytes as they stand in the file."""
    unpacker = zlib.decompressobj(-15) if member.method == DEFLATED else None
    left = member.packed_size
    while left:
        block = file.read(min(_BLOCK, left))
        if not block:
            raise EOFError("the file ends before it does")
        left -= len(block)
        see(block)
        if unpacker is None:
            yield block
            continue
        while block:
            yield unpacker.decompress(block, _BLOCK)
            if unpacker.eof and (unpacker.unused_data or left):
                raise EOFError("bytes follow its end")
            block = unpacker.unconsumed_tail
    if unpacker is not None and not unpacker.eof:
        # Output that the last block still held back.
        while tail := unpacker.decompress(b"", _BLOCK):
            yield tail
        if not unpacker.eof:
            raise EOFError("it has no end")


def _local(member: Member) -> bytes:
    """Return the header in front of a member."""
    name = member.name.encode()
    flags = 0 if member.name.isascii() else _UTF8
    return (
        _LOCAL.pack(*(b"PK\3\4", 20, flags, member.method, 0, _DATE, member.crc, member.packed_size, member.size, len(name), 0))
        + name
    )


def _central(member: Member) -> bytes:
    """Return a member's entry in the directory."""
    name = member.name.encode()
    flags = 0 if member.name.isascii() else _UTF8
    large = member.offset >= _LIMIT
    extra = _EXTRA64.pack(1, 8, member.offset) if large else b""
    fixed = _CENTRAL.pack(
        *(b"PK\1\2", _MADE_BY, 45 if large else 20, flags, member.method, 0, _DATE, member.crc, member.packed_size, member.size),
        *(len(name), len(extra), 0, 0, 0, _ATTRIBUTES, _LIMIT if large else member.offset),
    )
    return fixed + name + extra


#: How every bundle's directory begins: the entry of its first member.
_CENTRAL_START = _central(Member(MAGIC, STORED, zlib.crc32(MAGIC_CONTENT), len(MAGIC_CONTENT), len(MAGIC_CONTENT), 0))


def _ending(count: int, length: int, start: int) -> bytes:
    """Return what follows the directory."""
    end = _END.pack(
        *(b"PK\5\6", 0, 0, min(count, _LIMIT_COUNT), min(count, _LIMIT_COUNT), min(length, _LIMIT), min(start, _LIMIT), 0)
    )
    if count < _LIMIT_COUNT and length < _LIMIT and start < _LIMIT:
        return end
    end64 = _END64.pack(b"PK\6\6", _END64.size - 12, 45, 45, 0, 0, count, count, length, start)
    return end64 + _LOCATOR.pack(b"PK\6\7", 0, start + length, 1) + end


def _read_ending(file: BinaryIO, size: int) -> tuple[int, int, int, bytes]:
    """Return count, length and start of the directory, and the bytes after it."""
    whole = _END64.size + _LOCATOR.size + _END.size
    file.seek(max(0, size - whole))
    tail = file.read(whole)
    if len(tail) < _END.size or tail[-_END.size :][:4] != b"PK\5\6":
        raise ArchiveError("the archive's directory is not at the end of the file: truncated, or bytes were added")
    end = tail[-_END.size :]
    _, _, _, _, count, length, start, _ = _END.unpack(end)
    if len(tail) == whole and tail[_END64.size :][:4] == b"PK\6\7" and tail[:4] == b"PK\6\6":
        values = _END64.unpack(tail[: _END64.size])
        return values[7], values[8], values[9], tail
    return count, length, start, end


def _read_central(directory: bytes, at: int) -> tuple[Member, bytes]:
    """Return the member whose entry begins at ``at``, with the entry's bytes."""
    if len(directory) < at + _CENTRAL.size or directory[at : at + 4] != b"PK\1\2":
        raise ArchiveError(f"the archive's directory is damaged {at:,} bytes from its start")
    values = _CENTRAL.unpack_from(directory, at)
    method, crc, packed_size, size, names, extras, comments = values[4], *values[7:13]
    raw = directory[at : at + _CENTRAL.size + names + extras + comments]
    if len(raw) != _CENTRAL.size + names + extras + comments:
        raise ArchiveError("the archive's directory is truncated")
    try:
        name = raw[_CENTRAL.size : _CENTRAL.size + names].decode()
    except UnicodeDecodeError as error:
        raise ArchiveError(f"the archive's directory is damaged {at:,} bytes from its start: a name is not UTF-8") from error
    if method not in (STORED, DEFLATED):
        raise ArchiveError(f"member {name[:80]!r}: is compressed by method {method}, which npubench does not use")
    if size > MAX_MEMBER_BYTES or packed_size > MAX_MEMBER_BYTES:
        raise ArchiveError(f"member {name[:80]!r}: declares {max(size, packed_size):,} bytes, more than {MAX_MEMBER_BYTES:,}")
    offset = values[16]
    if offset == _LIMIT and extras == _EXTRA64.size:
        offset = _EXTRA64.unpack_from(raw, _CENTRAL.size + names)[2]
    return Member(name, method, crc, packed_size, size, offset), raw


def _oddity(raw: bytes) -> str:
    """Say what is odd in a directory entry that npubench did not write."""
    values = _CENTRAL.unpack_from(raw)
    if values[15] >> 28 == 0o12:
        return "is a symbolic link"
    if values[3] & 1:
        return "is encrypted"
    if values[11] or values[12]:
        return "carries extra fields or a comment in the archive's directory"
    return "its entry in the archive's directory has bytes that npubench does not write"
