"""Rebellions NPUs as a backend: ``rebel`` compiles and runs, ``rbln-smi`` says what is there and what it draws."""

from npubench_rebellions.backend import RebellionsBackend, RebellionsOptions

__all__ = ["RebellionsBackend", "RebellionsOptions"]
