"""Read tensors out of a PyTorch checkpoint of the format before 1.6, without PyTorch and without executing anything in it.

The format, as ``torch.load`` reads it (``torch/serialization.py``, ``_legacy_load``): five pickles one after another
(magic number, protocol version, facts of the writing machine, the object saved, the keys of its storages), then for
every key in that order the number of elements (int64, little-endian) and the elements themselves. A tensor in the
object is a view of a storage: offset, shape and strides, counted in elements.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib.stride_tricks import as_strided

Array = np.ndarray[Any, Any]

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001

#: Storage class → dtype of its elements. A checkpoint with any other class is refused.
_DTYPES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
}


class CheckpointError(ValueError):
    """The file is no checkpoint of this format, is damaged, or asks for something that is not a tensor."""


@dataclass(frozen=True, slots=True)
class _Storage:
    """A run of elements, named by key; its elements come later in the file."""

    key: str
    dtype: np.dtype[Any]
    size: int


@dataclass(frozen=True, slots=True)
class _View:
    """A tensor before the storages are read; counts are in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_tensors(path: Path) -> dict[str, Array]:
    """Return the tensors of a state dictionary by name, each an array of its own.

    The file decides nothing beyond values: names that it may ask for are those in :meth:`_Reader.find_class`, and none
    of them is PyTorch's.

    Args:
        path: A ``.pth`` file written by PyTorch before 1.6, or later with the old format asked for.

    Raises:
        CheckpointError: See the class.
    """
    with path.open("rb") as file:
        try:
            views, storages = _read(file)
        except CheckpointError as error:
            raise CheckpointError(f"{path.name}: {error}") from error
        except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            # A damaged pickle ends in any of these.
            raise CheckpointError(f"{path.name}: damaged: {error}") from error
    return {name: _array(view, storages, f"{path.name}: {name}") for name, view in views.items()}


def _read(file: BinaryIO) -> tuple[dict[str, _View], dict[str, Array]]:
    """Return the views and, by key, the storages they look into."""
    if _Reader(file).load() != _MAGIC:
        raise CheckpointError("not a PyTorch checkpoint of the old format")
    if (protocol := _Reader(file).load()) != _PROTOCOL:
        raise CheckpointError(f"protocol {protocol!r}, expected {_PROTOCOL}")
    if _Reader(file).load().get("little_endian") is not True:
        raise CheckpointError("written on a big-endian machine")
    reader = _Reader(file)
    state = reader.load()
    if not isinstance(state, Mapping):
        raise CheckpointError(f"holds a {type(state).__name__}, not a state dictionary")
    storages = {}
    for key in _Reader(file).load():
        storage = reader.storages[key]
        count = int.from_bytes(_exactly(file, 8), "little")
        if count != storage.size:
            raise CheckpointError(f"storage {key} has {count} elements, its tensors say {storage.size}")
        storages[key] = np.frombuffer(_exactly(file, count * storage.dtype.itemsize), storage.dtype)
    return {str(name): view for name, view in state.items() if isinstance(view, _View)}, storages


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise CheckpointError("ends before its last tensor")
    return data


def _array(view: _View, storages: Mapping[str, Array], where: str) -> Array:
    """Copy a view out of its storage, after making sure that it lies inside."""
    storage = storages.get(view.storage.key)
    last = view.offset + sum((n - 1) * stride for n, stride in zip(view.shape, view.strides, strict=True))
    if storage is None or min((view.offset, *view.shape, *view.strides)) < 0 or (0 not in view.shape and last >= storage.size):
        raise CheckpointError(f"{where}: lies outside its storage")
    bytes_apart = tuple(stride * storage.itemsize for stride in view.strides)
    return as_strided(storage[view.offset :], view.shape, bytes_apart, writeable=False).copy()


class _Reader(pickle.Unpickler):
    """An unpickler that knows three things and refuses all others: an ordered dictionary, a storage, a view of one."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="utf-8")
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands in for a global of the pickle; the file's own is never looked up."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _view
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise CheckpointError(f"asks for {module}.{name}, which is not part of a state dictionary")

    def persistent_load(self, pid: Any) -> _Storage:
        """Return the storage that ``pid`` names: ``("storage", class, key, location, size, view)``."""
        kind, dtype, key, _location, size, view = pid
        if kind != "storage" or view is not None:
            raise CheckpointError(f"holds an unknown kind of object: {kind!r}")
        return self.storages.setdefault(key, _Storage(str(key), dtype, int(size)))


def _view(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_training: Any) -> _View:
    """Stand in for ``torch._utils._rebuild_tensor_v2``; whether a tensor needs gradients is of no interest here."""
    return _View(storage, int(offset), tuple(shape), tuple(strides))
