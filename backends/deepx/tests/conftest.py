"""The stand-in for ``dx_engine``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

FAKE = Path(__file__).parent / "fake"


@pytest.fixture(scope="session")
def fake_dx() -> Path:
    """The folder for PYTHONPATH that holds the stand-in."""
    return FAKE


def forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "dx_engine"]:
        del sys.modules[name]


@pytest.fixture
def dx(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Return ``dx(**environment)``: the stand-in, imported anew with those variables."""

    def make(**environment: str) -> Any:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.syspath_prepend(FAKE)
        forget()
        return importlib.import_module("dx_engine")

    yield make
    forget()
