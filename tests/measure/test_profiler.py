"""Profiling is done in a process of its own, and whatever a plug-in does there is a reason and nothing more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from npubench.contract import Bundle
from npubench.contract.runspec import RunSpec, to_plain
from npubench.measure.profiled import OPERATORS, ProfileError, read_profile
from npubench.measure.profiler import LOG, NONE, profile_operators

PLUGIN = """
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from npubench.contract import Availability, Backend, Device, Executor, OperatorTime, Rung, TensorSpec, Unsupported


@dataclass(frozen=True)
class Options:
    mode: str = ""


class Loaded(Executor):
    inputs = (TensorSpec("x", "float32", (None, 4)),)
    outputs = (TensorSpec("y", "float32", (None, 2)),)
    max_batch = 8
    open = 0

    def __init__(self):
        Loaded.open += 1

    def execute(self, inputs):
        return {"y": inputs["x"][:, :2]}

    def close(self):
        Loaded.open -= 1


class Timed(Backend):
    Options = Options

    def probe(self):
        os.chdir("/")
        return Availability(Rung.READY, versions={"sdk": "1"}, devices=(Device("npu0", "ACME-1"),))

    def load(self, artefact, device, options):
        return Loaded()

    def profile(self, artefact, device, options, inputs):
        print("the profiler says hello")
        mode = options.mode
        if mode == "dies":
            os.abort()
        if mode == "leaves":
            os._exit(0)
        if mode == "raises":
            raise RuntimeError("no counters left")
        if mode == "refuses":
            raise Unsupported("this card has no timers")
        if mode == "hangs":
            if "HOLD" in os.environ:
                held = os.open(os.environ["HOLD"], os.O_WRONLY)
                os.write(held, b"x")
            threading.Event().wait()
        if mode == "odd":
            return [1, 2]
        if mode == "none":
            return None
        assert Loaded.open == 0
        assert artefact.path.is_file()
        assert all(request["x"].flags.c_contiguous and not request["x"].flags.writeable for request in inputs)
        Path(os.environ["TMPDIR"], "trace").write_text("x")
        sizes = {len(request["x"]) for request in inputs}
        return [OperatorTime("first", "Slice", 10 * len(inputs), len(inputs), "device"), OperatorTime(str(sizes), "Odd", 1, 1)]


class Untimed(Backend):
    def probe(self):
        return Availability(Rung.READY, devices=(Device("npu0", "ACME-1"),))

    def load(self, artefact, device, options):
        raise AssertionError("nobody needs it")
"""

#: Profiles the order in its standard input, as the supervisor does.
SUPERVISOR = """
import json
import sys
from pathlib import Path

from npubench.contract.runspec import RunSpec, from_plain
from npubench.measure.profiler import profile_operators

profile_operators(from_plain(RunSpec, json.load(sys.stdin), "spec"), Path(sys.argv[1]))
"""

Ask = Callable[..., Path]


@pytest.fixture
def ask(
    tmp_path: Path, make_spec: Callable[..., RunSpec], make_bundle: Callable[..., Bundle], monkeypatch: pytest.MonkeyPatch
) -> Ask:
    """Profile a run of the plug-in above, and return the run's folder."""
    site, folder = tmp_path / "site", tmp_path / "run"
    site.mkdir()
    folder.mkdir()
    (site / "timed_npu.py").write_text(PLUGIN, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(site))
    bundle = make_bundle(tmp_path / "bundle")

    def ask(
        mode: str = "",
        *,
        entry: str = "Timed",
        batch: int = 1,
        deadline_s: float = 120.0,
        by: Callable[[RunSpec, Path], None] = profile_operators,
        **target: Any,
    ) -> Path:
        where = {"entry": f"timed_npu:{entry}", "device": "npu0", "options": {"mode": mode} if mode else {}, **target}
        spec = make_spec(
            target=where,
            load={"batch": batch},
            bundle=str(bundle.root),
            bundle_digest=bundle.digest,
            cache=str(tmp_path / "cache"),
            deadlines_s={"profile": deadline_s},
            profile=True,
        )
        by(spec, folder)
        return folder

    return ask


@pytest.mark.parametrize(("batch", "taken", "requests"), [(1, 1, 16), (64, 8, 4)])
def test_requests_have_the_batch_that_the_run_had(ask: Ask, batch: int, taken: int, requests: int) -> None:
    folder = ask(batch=batch)
    found = read_profile(folder / OPERATORS)
    assert (found.samples, found.batch) == (taken * requests, taken)
    assert [each.name for each in found.operators] == ["first", str({taken})]
    assert found.operators[0].calls == requests
    # What it wrote into TMPDIR is gone, what it printed is not.
    assert sorted(path.name for path in folder.iterdir()) == sorted([OPERATORS, LOG])
    assert "the profiler says hello" in (folder / LOG).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("dies", "the profiling process was killed by SIGABRT"),
        ("leaves", "there is no profile of this run"),
        ("raises", "profiling failed: RuntimeError: no counters left"),
        ("refuses", "profiling: this card has no timers"),
        ("odd", "what the plug-in gave is no profile: operator 0 is int, not OperatorTime"),
        ("none", NONE),
    ],
)
def test_what_goes_wrong_is_the_reason(ask: Ask, mode: str, said: str) -> None:
    folder = ask(mode)
    with pytest.raises(ProfileError) as caught:
        read_profile(folder / OPERATORS)
    assert str(caught.value) == said
    assert sorted(path.name for path in folder.iterdir()) == sorted([OPERATORS, LOG])


def test_what_hangs_is_ended_at_its_deadline(ask: Ask) -> None:
    folder = ask("hangs", deadline_s=2.0)
    assert json.loads((folder / OPERATORS).read_text(encoding="utf-8")) == {
        "reason": "profiling took longer than its deadline of 2 s; killed"
    }


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_it_goes_with_its_supervisor(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    hold = tmp_path / "hold"
    os.mkfifo(hold)
    monkeypatch.setenv("HOLD", str(hold))

    def start_and_end(spec: RunSpec, folder: Path) -> None:
        command = [sys.executable, "-c", SUPERVISOR, folder]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as supervisor:
            assert supervisor.stdin
            supervisor.stdin.write(json.dumps(to_plain(spec)).encode())
            supervisor.stdin.close()
            with hold.open("rb", buffering=0) as held:
                assert held.read(1) == b"x"
                supervisor.send_signal(number)
                # The plug-in's end of the pipe closes when its process is gone, and not before.
                assert held.read(1) == b""
            assert supervisor.wait() != 0

    ask("hangs", by=start_and_end)


def test_a_backend_without_a_profile_is_not_even_loaded(ask: Ask) -> None:
    folder = ask(entry="Untimed")
    assert json.loads((folder / OPERATORS).read_text(encoding="utf-8")) == {"reason": NONE}


def test_an_interpreter_that_is_gone_is_a_reason(ask: Ask, tmp_path: Path) -> None:
    folder = ask(python=str(tmp_path / "none"))
    assert json.loads((folder / OPERATORS).read_text(encoding="utf-8"))["reason"].startswith("profiling: python '")
