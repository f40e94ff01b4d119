"""DEEPX NPUs as a backend: ready ``.dxnn`` files run by ``dx_engine``, the Python side of DX-RT."""

from npubench_deepx.backend import DeepxBackend, DeepxOptions

__all__ = ["DeepxBackend", "DeepxOptions"]
