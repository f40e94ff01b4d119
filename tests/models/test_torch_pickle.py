import pickle
import struct
import sys
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npubench_models.graphs.torch_pickle import CheckpointError, read_tensors

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class Storage:
    """A storage as the writer of a checkpoint knows it."""

    def __init__(self, kind: str, key: str, values: np.ndarray) -> None:
        self.kind, self.key, self.values = kind, key, values


class View:
    """Pickles as a call of ``torch._utils._rebuild_tensor_v2``."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = (*arguments, False, OrderedDict())

    def __reduce__(self) -> Any:
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


class Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        if not isinstance(obj, Storage):
            return None
        return ("storage", getattr(sys.modules["torch"], obj.kind), obj.key, "cpu", obj.values.size, None)


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names for the pickler to point at; nothing of them is in the file."""
    top, inner = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for kind in ("FloatStorage", "LongStorage", "BFloat16Storage"):
        setattr(top, kind, type(kind, (), {"__module__": "torch"}))

    def rebuild(*_: Any) -> None: ...

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    monkeypatch.setattr(inner, "_rebuild_tensor_v2", rebuild, raising=False)
    monkeypatch.setitem(sys.modules, "torch", top)
    monkeypatch.setitem(sys.modules, "torch._utils", inner)


def write(path: Path, state: Any, storages: list[Storage]) -> Path:
    with path.open("wb") as file:
        for part in (MAGIC, PROTOCOL, {"little_endian": True}):
            pickle.dump(part, file, protocol=2)
        Pickler(file, protocol=2).dump(state)
        pickle.dump([storage.key for storage in storages], file, protocol=2)
        for storage in storages:
            file.write(struct.pack("<q", storage.values.size) + storage.values.tobytes())
    return path


@pytest.mark.usefixtures("torch")
def test_reads_views_of_shared_storages(tmp_path: Path) -> None:
    values = np.arange(12, dtype="<f4")
    floats, longs = Storage("FloatStorage", "7", values), Storage("LongStorage", "8", np.array([41, 42], "<i8"))
    state = OrderedDict(
        whole=View(floats, 0, (3, 4), (4, 1)), turned=View(floats, 4, (4, 2), (1, 4)), number=View(longs, 1, (), ()), epoch=3
    )
    tensors = read_tensors(write(tmp_path / "a.pth", state, [floats, longs]))
    assert set(tensors) == {"whole", "turned", "number"}
    np.testing.assert_array_equal(tensors["whole"], values.reshape(3, 4))
    np.testing.assert_array_equal(tensors["turned"], values.reshape(3, 4)[1:].T)
    assert tensors["number"] == 42 and tensors["number"].dtype == np.int64


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("view", [(0, (13,), (1,)), (5, (8,), (1,)), (0, (4, 4), (4, 1)), (-1, (2,), (1,)), (3, (2,), (-1,))])
def test_refuses_views_outside_their_storage(tmp_path: Path, view: tuple[Any, ...]) -> None:
    floats = Storage("FloatStorage", "7", np.zeros(12, "<f4"))
    with pytest.raises(CheckpointError, match="outside its storage"):
        read_tensors(write(tmp_path / "a.pth", {"x": View(floats, *view)}, [floats]))


@pytest.mark.usefixtures("torch")
def test_refuses_a_storage_it_does_not_know(tmp_path: Path) -> None:
    storage = Storage("BFloat16Storage", "7", np.zeros(2, "<i2"))
    with pytest.raises(CheckpointError, match=r"asks for torch\.BFloat16Storage"):
        read_tensors(write(tmp_path / "a.pth", {"x": View(storage, 0, (2,), (1,))}, [storage]))


def test_executes_nothing(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "executed",))

    with pytest.raises(CheckpointError, match="not part of a state dictionary"):
        read_tensors(write(tmp_path / "a.pth", {"x": Attack()}, []))
    assert not (tmp_path / "executed").exists()


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_says_that_a_file_is_damaged(tmp_path: Path, share: float) -> None:
    floats = Storage("FloatStorage", "7", np.zeros(12, "<f4"))
    path = write(tmp_path / "a.pth", {"x": View(floats, 0, (12,), (1,))}, [floats])
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match=r"a\.pth"):
        read_tensors(path)


def test_refuses_other_files(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    for content in (b"PK\x03\x04 a zip archive", pickle.dumps(1), b"\x80\x02]."):
        path.write_bytes(content)
        with pytest.raises(CheckpointError):
            read_tensors(path)
