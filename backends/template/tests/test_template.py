"""npubench-template against npubench's conformance kit, and what only its maker knows to ask."""

from __future__ import annotations

import sys

import pytest

from npubench.contract import Rung
from npubench.testing.conformance.kit import BackendConformance
from npubench_template import TemplateBackend


class TestConformance(BackendConformance):
    """Every check of ``npubench check template``, one test each; without the device, those that need it are skipped."""

    backend = "template"
    device = "cpu"


def test_without_its_sdk_the_backend_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # SDK
    said = TemplateBackend().probe()
    assert (said.rung, said.devices) == (Rung.NOT_INSTALLED, ())
    assert "pip install" in said.advice


def test_with_a_broken_sdk_the_backend_hands_on_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise OSError("libvendor.so.4: cannot open shared object file")

    monkeypatch.setattr("npubench_template.import_module", broken)
    said = TemplateBackend().probe()
    assert said.rung is Rung.SDK_BROKEN
    assert "libvendor.so.4" in said.reason
