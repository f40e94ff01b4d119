"""Advice on a machine: legible on eighty columns, plain for a program, and no verdict unless asked for one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from npubench.measure.surroundings import Sight
from npubench.verbs import doctor

OK = Sight("turbo", "ok", "off", "boosted clocks follow heat")
WARN = Sight(
    "governor", "warn", "powersave", "it [runs] the first queries slowly " * 4, "sudo cpupower frequency-set -g performance"
)
UNKNOWN = Sight("heat", "unknown", "no zone", "a hot chip is slow", "see the host's")


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    monkeypatch.setattr(doctor, "host_path", lambda given: given)
    return lambda *sights: monkeypatch.setattr(doctor, "look", lambda store, cache, free: list(sights))


@pytest.mark.parametrize("width", [80, 120])
def test_what_to_do_is_said_of_everything_that_is_not_ok(
    found: Callable[..., None], width: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    console = Console(width=width, record=True, file=None, force_terminal=False, highlight=False)
    monkeypatch.setattr(doctor, "out", console)
    found(OK, WARN, UNKNOWN)
    assert doctor.examine(None, tmp_path, strict=False, as_json=False) == 0
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    whole = " ".join(text.split())
    for words in ("✔ turbo off", "▲ governor powersave", f"→ {WARN.advice}", "[runs]", "? heat no zone", f"→ {UNKNOWN.advice}"):
        assert words in whole
    assert OK.why not in whole
    assert "1 to look after, 1 ok, 1 that this machine does not show" in whole


def test_it_is_a_verdict_only_where_one_is_asked_for(
    found: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found(OK, WARN)
    assert doctor.examine(None, tmp_path, strict=False, as_json=True) == 0
    assert doctor.examine(None, tmp_path, strict=True, as_json=True) == 1
    assert json.loads(capsys.readouterr().out.split("\n]\n")[0] + "]")[1]["name"] == "governor"
    # What cannot be seen is no reason to fail: many a good machine hides it.
    found(OK, UNKNOWN)
    assert doctor.examine(None, tmp_path, strict=True, as_json=True) == 0


def test_this_machine_is_looked_at_whole(tmp_path: Path) -> None:
    sights = doctor.look(tmp_path / "store", tmp_path / "cache", watch_s=0.02)
    names = [sight.name for sight in sights]
    assert len(set(names)) == len(names)
    assert {"governor", "load", "device in use", "CPU quota", "room of store", "room of cache", "meters"} <= set(names)
    for sight in sights:
        assert sight.seen
        assert sight.why
        assert bool(sight.advice) == (sight.verdict != "ok"), sight


def test_a_machine_that_shows_nothing_is_nowhere_ok_that_is_read_from_it(tmp_path: Path) -> None:
    """An empty folder stands for the machine; the timer and the room are asked of this process instead."""
    empty = tmp_path / "nothing"
    empty.mkdir()
    sights = doctor.look(tmp_path, tmp_path, root=empty, watch_s=0.0)
    ok = {sight.name for sight in sights if sight.verdict == "ok"}
    assert ok <= {"timer", "room of store", "room of cache", "power supply", "device in use"}
