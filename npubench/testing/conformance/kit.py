"""The conformance kit for pytest: subclass :class:`BackendConformance` and every check is a test of its own.

::

    from npubench.testing.conformance.kit import BackendConformance

    class TestConformance(BackendConformance):
        backend = "acme"

The only module of the kit that needs pytest, and with it an environment that has ``npubench[standard]``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from npubench.testing.conformance.checks import CHECKS
from npubench.testing.conformance.verdict import FAILED, SKIPPED

_said: dict[tuple[str, ...], dict[str, Mapping[str, Any]]] = {}


class BackendConformance:
    """Runs ``npubench check`` once for the class, in processes of its own, and reports each check as a test.

    Attributes:
        backend: The backend's name.
        device: The device's name; "" = the first one found.
        options: As a target has them.
        artefact: A ready artefact's path; "" where the backend compiles.
        workload: The workload that gives model and inputs; "" = the probe, or drawn inputs where an artefact is handed in.
        python: The interpreter that has the plug-in; "" = this one.
        env: Added to its environment.
        queries: How many queries must all come back; fewer than the command asks for, since tests run often.
        must_be_ready: Whether a test is to fail, instead of being skipped, where the device it needs is not there. Sensors
            are no such need: a device may have none.
    """

    backend: ClassVar[str]
    device: ClassVar[str] = ""
    options: ClassVar[Mapping[str, Any]] = {}
    artefact: ClassVar[str] = ""
    workload: ClassVar[str] = ""
    python: ClassVar[str] = ""
    env: ClassVar[Mapping[str, str]] = {}
    queries: ClassVar[int] = 500
    must_be_ready: ClassVar[bool] = False

    @pytest.mark.parametrize("name", [check.name for check in CHECKS])
    def test_conforms(self, name: str) -> None:
        """The check passes, or there is nothing to check."""
        found = conformance(type(self))[name]
        if found["status"] == SKIPPED:
            if self.must_be_ready and found["missing"] not in ("", "sensors"):
                pytest.fail(f"{name} needs what is not here: {found['seen']}", pytrace=False)
            pytest.skip(str(found["seen"]))
        if found["status"] == FAILED:
            text = f"{name}\n  expected: {found['expected']}\n  seen:     {found['seen']}\n  do:       {found['advice']}"
            pytest.fail(text, pytrace=False)


def conformance(of: type[BackendConformance]) -> Mapping[str, Mapping[str, Any]]:
    """Return what each check found, by name; the checks are carried out once for each set of arguments.

    Raises:
        AssertionError: The command could not begin; with its words.
    """
    arguments = ["check", of.backend, "--json", "--queries", str(of.queries)]
    for flag, value in (("device", of.device), ("artefact", of.artefact), ("workload", of.workload), ("python", of.python)):
        if value:
            arguments += [f"--{flag}", str(value)]
    for key, value in of.options.items():
        arguments += ["--option", f"{key}={json.dumps(value)}"]
    for key, value in of.env.items():
        arguments += ["--env", f"{key}={value}"]
    if tuple(arguments) not in _said:
        said = subprocess.run([sys.executable, "-m", "npubench", *arguments], capture_output=True, text=True, check=False)
        assert said.returncode in (0, 1), said.stderr
        _said[tuple(arguments)] = {found["name"]: found for found in json.loads(said.stdout)["checks"]}
    return _said[tuple(arguments)]
