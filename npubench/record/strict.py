"""Look at files that others hand in before anything is made of them: JSON without surprises, arrays of bounded size."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

#: The largest JSON document of a run that is read, bytes. A record is some 20 kB; thousands of audit rows still fit.
MAX_JSON_BYTES = 16 << 20
#: The most values and keys in one document: bounds what a text of nothing but brackets becomes in memory.
MAX_JSON_VALUES = 2_000_000
#: The most digits of a number; nanoseconds since 1970 have 19.
MAX_DIGITS = 30
#: The most that all arrays of one run may take once unpacked, bytes: ten million samples with six columns, and outputs.
MAX_ARRAY_BYTES = 1 << 30
#: The most arrays in one file.
MAX_ARRAYS = 4096
#: The most bytes of an array's own header: enough for any plain dtype and shape.
_MAX_HEADER = 4096


def read_json(data: bytes) -> Any:
    """Parse JSON that others wrote.

    Raises:
        ValueError: No JSON, NaN or Infinity, a key given twice, a number too long, or too large or nested too deep.
    """
    if data.count(b",") + data.count(b"[") + data.count(b"{") > MAX_JSON_VALUES:
        raise ValueError(f"holds more than {MAX_JSON_VALUES:,} values")
    try:
        return json.loads(
            data.decode("utf-8"),
            parse_constant=_constant,
            parse_float=_number,
            parse_int=_integer,
            object_pairs_hook=_pairs,
        )
    except RecursionError as error:
        raise ValueError("is nested too deep") from error


def read_json_file(path: Path, limit: int = MAX_JSON_BYTES) -> Any:
    """Parse a JSON file that others wrote.

    Raises:
        ValueError: As :func:`read_json`, or larger than ``limit`` bytes.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"is larger than {limit:,} bytes")
    return read_json(data)


def check_arrays(paths: Sequence[Path]) -> dict[str, str]:
    """Look at the headers of ``.npz`` files without unpacking them.

    Returns:
        File name → what is wrong with it: no archive, an array with pickles, or more than
        :data:`MAX_ARRAY_BYTES` in all of them together.
    """
    wrong: dict[str, str] = {}
    total = 0
    for path in paths:
        try:
            total += _arrays_bytes(path, MAX_ARRAY_BYTES - total)
        except (ValueError, OSError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError, OverflowError) as error:
            wrong[path.name] = " ".join(str(error).split())[:300]
        except (SyntaxError, TypeError, KeyError, MemoryError, RecursionError, zipfile.zlib.error) as error:  # type: ignore[attr-defined]
            wrong[path.name] = f"damaged header ({type(error).__name__})"
    return wrong


def _arrays_bytes(path: Path, left: int) -> int:
    """Return how much the arrays of one file take."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > MAX_ARRAYS:
            raise ValueError(f"holds {len(members):,} arrays, more than {MAX_ARRAYS:,}")
        names = [member.filename for member in members]
        if len(set(names)) != len(names):
            raise ValueError("holds two arrays of one name")
        total = 0
        for member in members:
            total += member.file_size
            if total > left:
                raise ValueError(f"the run's arrays take more than {MAX_ARRAY_BYTES:,} bytes")
            with archive.open(member) as file:
                _check_header(member, file)  # type: ignore[arg-type]
        return total


def _check_header(member: zipfile.ZipInfo, file: BinaryIO) -> None:
    """Refuse an array whose header does not tell of as many plain bytes as the archive holds."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file, max_header_size=_MAX_HEADER)
    if dtype.hasobject:
        raise ValueError(f"array '{member.filename}' holds pickles, which are code")
    if any(length < 0 for length in shape):
        raise ValueError(f"array '{member.filename}' has a negative length")
    declared = math.prod(shape) * dtype.itemsize + file.tell()
    if declared != member.file_size:
        raise ValueError(f"array '{member.filename}' declares {declared:,} bytes and has {member.file_size:,}")


def twice(names: Iterable[str]) -> str:
    """Return the first name that is there a second time, or ""."""
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), "")  # type: ignore[func-returns-value]


def _constant(text: str) -> Any:
    raise ValueError(f"holds {text}, which is no number in JSON")


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"holds {text[:40]}, which is beyond every number")
    return value


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"holds a number of {len(text):,} digits")
    return int(text)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError(f"key '{twice([name for name, _ in pairs])[:60]}' is there twice")
    return read
